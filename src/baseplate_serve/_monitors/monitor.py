"""What a monitor is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics


REPORTED_MAX = 300  # durations in one report: more of them fit into no packet, and nobody may be asking


class Unavailable(Exception):
    """A monitor cannot run here; the text says why, and what to do about it."""


class Monitor:
    """Looks at something now and then.  Nothing here switches greenlets, unless it says so."""

    option = ""  # of those that are off by default: what switches it on
    logs = False  # what it finds is in the log, besides

    def start(self) -> None:
        """Begin.  Raises: Unavailable."""

    def stop(self) -> None:
        """Undo what `start` did.  Raises: nothing."""

    def leave_to_parent(self) -> None:
        """In a forked child: as `stop`, but what the parent has goes on."""
        self.stop()

    def collect(self, metrics: RuntimeMetrics) -> None:
        """Once a second, and at the end: bring *metrics* up to date."""

    def report(self, batch: Any) -> None:
        """Every ten seconds: tell Baseplate's metrics client, by the names that it has for this."""
