"""The composition root, in the order of the runbook: read settings, export metrics, acquire the listener,
load the application, serve, stop.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event as Flag

from baseplate_serve._command import application
from baseplate_serve._command.leave import leave_within
from baseplate_serve._command.report import report
from baseplate_serve._command.watch import FILES_FD, TELL_EVERY_S, Teller, files_of, loaded_files
from baseplate_serve._drop_in import finder, observers
from baseplate_serve._lifecycle.forked import end_greenlet, in_children
from baseplate_serve._lifecycle.lifecycle import Lifecycle
from baseplate_serve._lifecycle.phase import Event, Phase
from baseplate_serve._lifecycle.signals import Signals, StoppedWhileStarting
from baseplate_serve._logs import setup as logs
from baseplate_serve._metrics.declared import RuntimeMetrics
from baseplate_serve._metrics.exporter import make_exporter
from baseplate_serve._metrics.nowhere import NoMetrics
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._settings.ini import read_ini
from baseplate_serve._settings.read import read_settings
from baseplate_serve._sockets import systemd
from baseplate_serve._sockets.acquire import RELOADER_FD, Listener, acquire
from baseplate_serve._sockets.einhorn import EinhornWorker, acknowledge, worker_of
from baseplate_serve.errors import ApplicationError, EndpointError, ServeError
from baseplate_serve.state import SERVER_STATE

if TYPE_CHECKING:
    import argparse

    from baseplate_serve._monitors.monitors import Monitors
    from baseplate_serve._settings.ini import IniFile
    from baseplate_serve._settings.options import ServerSettings

log = logging.getLogger("baseplate_serve")

ORPHAN_CHECK_S = 1.0  # how often a child looks whether its parent is still there
AT_EXIT_S = 2.0  # for `atexit` and threads at least: error reporters flush for that long
RELOAD_STOP_TIMEOUT = "2 seconds"  # where the file has none


def run(arguments: argparse.Namespace) -> int:
    """Serve until asked to stop, or check.  Returns the exit status.  Switches: yes."""
    finder.install()
    sys.path.append(os.getcwd())  # a service started from its checkout finds its modules
    # Taken out: the application's own children are no children of --reload.
    files_fd = os.environ.pop(FILES_FD, None)
    teller = Teller(int(files_fd)) if files_fd is not None else None
    if teller is not None:
        in_children(gevent.spawn(_tell_loaded, teller), end_greenlet)
    left_s = CLEAN_UP_S
    try:
        file = read_ini(arguments.config_file, server_name=arguments.server_name, app_name=arguments.app_name)
        if teller is not None:
            # Nobody routes to a server under --reload, and a request that a save meets gets its reply.
            file.server["drain_time"] = "0"
            file.server.setdefault("stop_timeout", RELOAD_STOP_TIMEOUT)
        settings = read_settings(file)
        if arguments.check:
            from baseplate_serve._command.check import check  # noqa: PLC0415 (only then)

            status = check(file, settings, arguments.bind)
        else:
            logs.configure(debug=arguments.debug, filename=file.filename if file.has_loggers else None)
            left_s = _serve(arguments, file, settings, reloaded=teller is not None)
            status = 0
    except ServeError as error:
        if teller is not None:
            teller.tell(loaded_files() | files_of(error))
        status = report(error)
    leave_within(left_s, status)
    return status


def _tell_loaded(teller: Teller) -> None:
    """Tell --reload what is loaded, now and as more comes."""
    while True:
        teller.tell(loaded_files())
        gevent.sleep(TELL_EVERY_S)


def _serve(
    arguments: argparse.Namespace, file: IniFile, settings: ServerSettings, *, reloaded: bool
) -> float:
    """Returns how long, in seconds, the process may still take to end."""
    lifecycle = Lifecycle(SERVER_STATE)
    signals = Signals(lifecycle)
    worker = worker_of(os.environ, parent_pid=os.getppid())
    watchdog = systemd.Watchdog(os.environ, pid=os.getpid())
    exporter = (
        make_exporter(os.environ, settings.metrics_endpoint, einhorn_worker=worker is not None)
        if settings.metrics_enabled
        else None
    )
    listener: Listener | None = None
    server: Any = None
    try:
        metrics = RuntimeMetrics() if exporter is not None else None
        signals.install()  # before the application, which may install its own
        if exporter is not None:
            exporter.start()
        listener = acquire(arguments.bind, worker, os.environ)
        os.environ.pop(RELOADER_FD, None)
        app_factory = application.load_app_factory(file)
        app = application.make_app(file, app_factory)
        server_factory = application.load_server_factory(file)
        listener.listen()
        server = application.make_server(file, server_factory, listener.sock, app)
        _introduce(server, signals)
        gc.collect()  # what loading left behind
        _start(server)
        lifecycle.advance(Event.READY)
        log.info("listening on %s (%s)", listener.name, listener.origin)
        _tell_everybody(worker)
        watchdog.start()
        monitors = _start_monitors(server, app, settings, metrics)
        if reloaded or worker is not None:
            parent = "the Einhorn master" if worker else "the parent, --reload,"
            leaving = gevent.spawn(_leave_with_parent, os.getppid(), parent, lifecycle)
            in_children(leaving, end_greenlet)  # its parent is another, which leaves as it likes
        lifecycle.wait_while(Phase.SERVING)
        systemd.notify(os.environ, "STOPPING=1")
        _stop(server, settings, lifecycle)
        monitors.stop()
    except StoppedWhileStarting:
        log.info("stopped while the application was being loaded")
        SERVER_STATE.phase = Phase.STOPPED
    finally:
        watchdog.stop()
        if listener is not None:
            listener.close()
        if exporter is not None:
            exporter.stop()
    observers.stop_tracing()
    signals.ignore()
    return max(AT_EXIT_S, getattr(server, "clean_up_left_s", CLEAN_UP_S))


def _introduce(server: Any, signals: Signals) -> None:
    """Tell *signals* what they ask *server* for, if it is one of ours."""
    signals.in_flight = getattr(server, "in_flight", list)
    entrance = getattr(server, "entrance", None)
    if entrance is not None and entrance.tls is not None:
        signals.on_hangup(entrance.reload)


def _start(server: Any) -> None:
    try:
        server.start()
    except ServeError:
        raise
    except Exception as error:
        raise ApplicationError("the server could not be started") from error


def _start_monitors(
    server: Any, app: Any, settings: ServerSettings, metrics: RuntimeMetrics | None
) -> Monitors:
    """Start the monitors; without *metrics* those that somebody hears of all the same.  Switches: perhaps."""
    # Now that everybody knows that we serve: nobody waits for them.
    from baseplate_serve._monitors.choose import monitors_for  # noqa: PLC0415
    from baseplate_serve._monitors.monitors import Monitors, heard_of  # noqa: PLC0415

    wanted = monitors_for(
        settings, server, pool=observers.told_pool(), reporters=observers.runtime_reporters(app)
    )
    if metrics is None:
        client = observers.registered_client(app)
        monitors = Monitors(heard_of(wanted, client), NoMetrics(), client)
    else:
        monitors = Monitors(wanted, metrics, observers.metrics_client(app))
    monitors.start()
    return monitors


def _tell_everybody(worker: EinhornWorker | None) -> None:
    """Ready: tell Einhorn and systemd.  Switches: yes."""
    systemd.notify(os.environ, "READY=1")
    if worker is None:
        return
    try:
        acknowledge(worker)
    except EndpointError as error:
        # Serving works all the same; in manual mode Einhorn will replace us, and says so itself.
        log.error("Einhorn was not told that we serve: %s", error)  # noqa: TRY400 (its text says it all)


def _leave_with_parent(pid: int, name: str, lifecycle: Lifecycle) -> None:
    """Stop when the parent *pid* is gone, an Einhorn master or --reload: nobody else would stop us."""
    while os.getppid() == pid:
        gevent.sleep(ORPHAN_CHECK_S)
    lifecycle.post(Event.STOP_ASKED, f"{name} is gone")


def _stop(server: Any, settings: ServerSettings, lifecycle: Lifecycle) -> None:
    """Drain, finish, stop.  Switches: yes."""
    left_early = lifecycle.wait_while(Phase.DRAINING, timeout_s=settings.drain_time.total_seconds())
    if not left_early:
        lifecycle.advance(Event.DRAIN_OVER)
    finished = Flag()
    finish = gevent.spawn(server.stop)
    gevent.sleep(0)  # it begins now: killed before, it would not even cut off what is left
    finish.link(lambda _greenlet: finished.set())
    if lifecycle.wait_while(Phase.FINISHING, until=finished):
        finish.kill()  # stop was asked for a third time: our servers cut off what is left, and return
    elif not finish.successful():
        raise ApplicationError("the server could not be stopped") from finish.exception
    else:
        abandoned = getattr(server, "abandoned", 0)
        lifecycle.advance(Event.STOP_TIMEOUT if abandoned else Event.LAST_REPLY_SENT)
