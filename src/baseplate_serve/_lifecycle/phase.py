"""The life of the process as one table.  A pair that is not in it raises."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where in its life the process is."""

    STARTING = "starting"  # reading the file, loading the application
    SERVING = "serving"
    DRAINING = "draining"  # still accepting: clients need time to notice us leaving
    FINISHING = "finishing"  # listener closed; requests in flight may complete
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


class Event(Enum):
    """What can happen to it."""

    READY = "ready"  # application loaded, listener bound
    STOP_ASKED = "stop asked"  # SIGTERM, SIGINT or SIGUSR2; the master or the server is gone
    STOP_REPEATED = "stop repeated"  # SIGTERM or SIGINT again: skip the rest of this phase
    DRAIN_OVER = "drain over"
    LAST_REPLY_SENT = "last reply sent"
    STOP_TIMEOUT = "stop timeout"

    def __str__(self) -> str:
        return self.value


NEXT = {
    (Phase.STARTING, Event.READY): Phase.SERVING,
    (Phase.STARTING, Event.STOP_ASKED): Phase.STOPPED,
    (Phase.SERVING, Event.STOP_ASKED): Phase.DRAINING,
    (Phase.DRAINING, Event.STOP_ASKED): Phase.DRAINING,  # Einhorn repeats SIGUSR2
    (Phase.DRAINING, Event.STOP_REPEATED): Phase.FINISHING,
    (Phase.DRAINING, Event.DRAIN_OVER): Phase.FINISHING,
    (Phase.FINISHING, Event.STOP_ASKED): Phase.FINISHING,
    (Phase.FINISHING, Event.STOP_REPEATED): Phase.STOPPED,
    (Phase.FINISHING, Event.LAST_REPLY_SENT): Phase.STOPPED,
    (Phase.FINISHING, Event.STOP_TIMEOUT): Phase.STOPPED,
    (Phase.STOPPED, Event.STOP_ASKED): Phase.STOPPED,  # a signal may still arrive while atexit runs
    (Phase.STOPPED, Event.STOP_REPEATED): Phase.STOPPED,
}


def next_phase(phase: Phase, event: Event) -> Phase:
    """The phase after *event* in *phase*.  Raises `ValueError` for a pair that cannot happen."""
    try:
        return NEXT[phase, event]
    except KeyError:
        raise ValueError(f"{event} cannot happen while {phase}") from None
