"""Runs the monitors: once a second for Prometheus, every ten for Baseplate's metrics client."""

from __future__ import annotations

import logging
import os
import socket
from time import time
from typing import TYPE_CHECKING, Any

import gevent

from baseplate_serve._lifecycle.forked import end_greenlet, in_children
from baseplate_serve._monitors.monitor import Monitor, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from baseplate_serve._metrics.declared import RuntimeMetrics

log = logging.getLogger("baseplate_serve.monitoring")

COLLECT_S = 1.0  # gauges of a worker are read from its file by whichever worker is scraped
REPORT_S = 10  # aligned to the clock, as Baseplate's are: services that are summed report at the same moment


def heard_of(monitors: Iterable[Monitor], client: Any) -> Iterator[Monitor]:
    """Those that tell something where there is no Prometheus: in the log, or to *client*.

    Warns of others that somebody has switched on.
    """
    unheard = []
    for monitor in monitors:
        reports = type(monitor).report is not Monitor.report
        if monitor.logs or (client is not None and reports):
            yield monitor
        elif monitor.option:
            unheard.append(monitor.option)
    if unheard:
        log.warning(
            "%s cannot be shown: metrics.enabled is false, and the application has no metrics client of "
            "Baseplate's; switch metrics on, or %s off",
            ", ".join(unheard),
            "it" if len(unheard) == 1 else "them",
        )


class Monitors:
    """The monitors of one process.  *client* is what the application registered with Baseplate, or None.

    One that cannot run says so once, at WARNING, and the others go on.
    """

    def __init__(self, monitors: Iterable[Monitor], metrics: RuntimeMetrics, client: Any = None) -> None:
        self._monitors = list(monitors)
        self._metrics = metrics
        self._client = client
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def start(self) -> None:
        """Begin.  Switches: perhaps."""
        in_children(self, Monitors._leave_to_parent)
        self._each(lambda monitor: monitor.start())
        if not self._monitors:
            return
        self.collect()
        self._greenlets = [gevent.spawn(self._collect_always)]
        if self._client is not None:
            self._greenlets.append(gevent.spawn(self._report_always))

    def stop(self) -> None:
        """Collect a last time and end.  Switches: yes."""
        gevent.killall(self._greenlets)
        self.collect()
        for monitor in self._monitors:
            monitor.stop()
        gevent.sleep(0)  # what they have killed ends now

    def _leave_to_parent(self) -> None:
        """In a forked child: what it inherited was counted by its parent."""
        for greenlet in self._greenlets:
            end_greenlet(greenlet)
        for monitor in self._monitors:
            monitor.leave_to_parent()

    def collect(self) -> None:
        """Bring the metrics up to date now."""
        self._each(lambda monitor: monitor.collect(self._metrics))

    def report(self) -> None:
        """Tell Baseplate's metrics client now."""
        with self._client.batch() as batch:
            batch.namespace += b".runtime"
            batch.base_tags["hostname"] = socket.gethostname()
            batch.base_tags["PID"] = str(os.getpid())
            self._each(lambda monitor: monitor.report(batch))

    def _collect_always(self) -> None:
        while True:
            gevent.sleep(COLLECT_S)
            self.collect()

    def _report_always(self) -> None:
        failing = False  # and that was said
        while True:
            gevent.sleep(REPORT_S - time() % REPORT_S)
            try:
                self.report()
            except Exception:
                if not failing:
                    log.warning("Baseplate's metrics client fails, and is asked again", exc_info=True)
                failing = True
            else:
                failing = False

    def _each(self, call: Callable[[Monitor], None]) -> None:
        for monitor in tuple(self._monitors):
            try:
                call(monitor)
            except Unavailable as why:
                self._monitors.remove(monitor)
                log.warning("%s", why)
            except Exception:
                self._monitors.remove(monitor)
                log.warning("%s failed and is off from now on", type(monitor).__name__, exc_info=True)
                monitor.stop()
