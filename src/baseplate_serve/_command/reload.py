"""--reload: a parent that holds the port and watches files, and a child that serves.

The parent binds and listens, so that the port answers across restarts: a client that connects while no
child accepts waits in the listener's queue.  The child tells, through a pipe, which files it has loaded
(and which ones its failure is about); when one of them changes, it is stopped and started again.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from baseplate_serve._command.report import report
from baseplate_serve._command.watch import FILES_FD, Watch
from baseplate_serve._sockets.acquire import RELOADER_FD, Listener, acquire
from baseplate_serve.errors import ServeError

if TYPE_CHECKING:
    import argparse
    from types import FrameType

PIPE_SIZE = 1 << 20  # bytes; Linux' limit for the unprivileged, some ten thousand names
STOP_S = 30.0  # how long a child may take to stop before it is killed


def supervise(arguments: argparse.Namespace) -> int:
    """Serve in a child that is restarted when its code or the file changes; returns the exit status."""
    try:
        watch = Watch([arguments.config_file])
        listener = acquire(arguments.bind, None, os.environ)
    except ServeError as error:
        return report(error)
    listener.listen()
    try:
        return _Supervisor(listener, watch).run()
    finally:
        listener.close()


class _Supervisor:
    """The parent: at most one child at a time."""

    def __init__(self, listener: Listener, watch: Watch) -> None:
        self._listener = listener
        self._watch = watch
        self._stop_asked = False
        self._start()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, self._pass_on)

    def run(self) -> int:
        """Until a signal ends it, or the child ends well by itself."""
        reported = False
        while True:
            changed = self._watch.wait()
            status = self._child.poll()
            if self._stop_asked:
                return self._wait()
            if changed:
                _say(f"{', '.join(sorted(changed))} changed, restarting")
                self._restart(changed)
                reported = False
            elif status == 0:
                return 0
            elif status is not None and not reported:
                _say("waiting for a file to change")
                reported = True

    def _restart(self, changed: set[str]) -> None:
        self._stop()
        if not self._stop_asked:
            self._watch.forget(changed)
            self._start()

    def _start(self) -> None:
        files_read, files_write = os.pipe()
        # Room for all that a child tells at once: it must not wait for us while we wait for its end.
        fcntl.fcntl(files_write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        listener_fd = self._listener.sock.fileno()
        command = [
            sys.executable,
            *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined] # noqa: SLF001
            "-B",  # byte code is known by the second and the size of its source; two saves may share both
            "-P",  # the current directory comes last on the path, as in the command itself
            "-m",
            "baseplate_serve",
        ]
        arguments = [argument for argument in sys.argv[1:] if argument != "--reload"]
        environ = {**os.environ, RELOADER_FD: str(listener_fd), FILES_FD: str(files_write)}
        self._child = subprocess.Popen(command + arguments, env=environ, pass_fds=(listener_fd, files_write))  # noqa: S603
        os.close(files_write)
        self._watch.listen_to(files_read)
        if self._stop_asked:  # meanwhile: the signal went to the child before
            self._child.terminate()

    def _stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _say(f"the server did not stop within {STOP_S:.0f} s, killing it")
            self._child.kill()
            self._child.wait()

    def _wait(self) -> int:
        status = self._child.wait()
        return status if status >= 0 else 128 - status  # as a shell would say it was ended by a signal

    def _pass_on(self, signum: int, _frame: FrameType | None) -> None:
        if signum != signal.SIGUSR1:
            self._stop_asked = True
        if signum == signal.SIGINT and _in_foreground():
            return  # Ctrl-C: the terminal has told the child itself
        with suppress(ProcessLookupError):
            self._child.send_signal(signum)


def _in_foreground() -> bool:
    """True if a terminal sends its signals to our process group."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False  # standard input is no terminal


def _say(text: str) -> None:
    print(f"baseplate-serve: {text}", file=sys.stderr, flush=True)
