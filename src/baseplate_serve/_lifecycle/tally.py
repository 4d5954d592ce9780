"""What a server counts, in plain numbers: a request may cost some hundred nanoseconds here, and a monitor
carries them to the metrics once a second.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Counted:
    """What was counted between two looks."""

    durations: list[float]  # seconds; of every request that got its reply
    errors: int  # of those replies that tell of a failure on our side
    lost: int  # requests whose connection ended before the reply
    refused: Counter[str]  # connections closed for what the client did, by reason
    received: int  # bytes
    sent: int  # bytes


class Tally:
    """Counts, until `take`.

    How long requests took is kept from `keep_durations` on: where nobody takes them, they would pile up.
    """

    __slots__ = ("durations", "errors", "lost", "received", "refused", "sent")

    def __init__(self) -> None:
        self.durations: list[float] | deque[float] = deque(maxlen=0)
        self._restart()

    def _restart(self) -> None:
        self.errors = 0
        self.lost = 0
        self.refused: Counter[str] = Counter()
        self.received = 0
        self.sent = 0

    def take(self) -> Counted:
        """What was counted since the last time."""
        durations = list(self.durations)
        self.durations.clear()
        counted = Counted(durations, self.errors, self.lost, self.refused, self.received, self.sent)
        self._restart()
        return counted

    def keep_durations(self) -> None:
        """Somebody will `take` them."""
        self.durations = []
