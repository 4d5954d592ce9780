"""What a server counts, in plain numbers: a request may cost some hundred nanoseconds here, and a monitor
carries them to the metrics once a second.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

DURATIONS_MAX = 65536  # more than a process serves between two looks; where nobody looks it ends there, too


@dataclass(frozen=True)
class Counted:
    """What was counted between two looks."""

    durations: deque[float]  # seconds; of every request that got its reply
    errors: int  # of those replies that tell of a failure on our side
    lost: int  # requests whose connection ended before the reply
    refused: Counter[str]  # connections closed for what the client did, by reason
    received: int  # bytes
    sent: int  # bytes


class Tally:
    """Counts, until `take`."""

    __slots__ = ("durations", "errors", "lost", "received", "refused", "sent")

    def __init__(self) -> None:
        self.durations: deque[float] = deque(maxlen=DURATIONS_MAX)
        self.errors = 0
        self.lost = 0
        self.refused: Counter[str] = Counter()
        self.received = 0
        self.sent = 0

    def take(self) -> Counted:
        """What was counted since the last time."""
        counted = Counted(self.durations, self.errors, self.lost, self.refused, self.received, self.sent)
        self.__init__()  # type: ignore[misc] # from zero
        return counted
