"""Requests, bytes and refusals, as the server's connections count them; and the phase of the process."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from baseplate_serve._lifecycle.phase import Phase
from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics
    from baseplate_serve.state import ServerState

SHOWN = (Phase.SERVING, Phase.DRAINING, Phase.FINISHING)


class PhaseMonitor(Monitor):
    """The phase that *state* tells."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self, metrics: RuntimeMetrics) -> None:
        for phase in SHOWN:
            metrics(declared.PHASE, phase.value).set(int(self._state.phase is phase))


class RequestMonitor(Monitor):
    """Empties the tally of *server*'s connections into the metrics."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._abandoned = 0  # of the server's, so many are counted
        self._to_be_lost = 0  # of those, so many are still to lose their connection, which counts no more
        self._collected_at = monotonic()

    def collect(self, metrics: RuntimeMetrics) -> None:
        now = monotonic()
        if self._server.full():
            metrics(declared.FULL).inc(now - self._collected_at)
        self._collected_at = now
        counted = self._server.connections.tally.take()
        abandoned = self._server.abandoned - self._abandoned
        self._abandoned += abandoned
        metrics(declared.ABANDONED).inc(abandoned)
        self._to_be_lost += abandoned
        abandoned_before = min(self._to_be_lost, counted.lost)
        self._to_be_lost -= abandoned_before
        for outcome, count in (
            ("ok", max(0, len(counted.durations) - counted.errors)),  # no more durations than are kept
            ("error", counted.errors),
            ("lost", counted.lost - abandoned_before),
            ("abandoned", abandoned),
        ):
            metrics(declared.REQUESTS, outcome).inc(count)
        for reason, count in counted.refused.items():
            metrics(declared.REFUSED, reason).inc(count)
        metrics(declared.RECEIVED).inc(counted.received)
        metrics(declared.SENT).inc(counted.sent)
        metrics.observe_all(counted.durations, declared.REQUEST_DURATION)
