"""The phase this process is in, and the wait for what happens next.

Signal handlers run wherever Python happens to be, the hub included, where nothing may block, lock or
log.  So `post` only notes the event and wakes the main greenlet; all that follows happens there.
"""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event as Flag

from baseplate_serve._lifecycle.phase import Event, Phase, next_phase

if TYPE_CHECKING:
    from baseplate_serve.state import ServerState

log = logging.getLogger("baseplate_serve")


class Lifecycle:
    """Moves *state* through the phases; one per process.

    `post` may be called from anywhere in this thread; everything else belongs to the main greenlet.
    """

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self._posted: deque[tuple[Event, str, float]] = deque()  # not handled yet, oldest first; when
        self._woken = Flag()
        self._doorbell = gevent.get_hub().loop.async_()
        self._doorbell.start(self._woken.set)

    @property
    def phase(self) -> Phase:
        return self.state.phase

    def post(self, event: Event, why: str) -> None:
        """Note *event* and wake the main greenlet.

        Safe in a signal handler, in the hub and in other threads.  Switches: no.
        """
        self._posted.append((event, why, monotonic()))
        self._doorbell.send()

    @property
    def unheard_s(self) -> float:
        """For how long a posted event waits for the main greenlet, which some code keeps from running."""
        return monotonic() - self._posted[0][2] if self._posted else 0.0

    def advance(self, event: Event, why: str = "") -> Phase:
        """Move to the phase that follows *event*; log the step if it is one."""
        before = self.phase
        self.state.phase = next_phase(before, event)
        if self.phase is not before:
            log.info("%s (%s)", self.phase, why or event)
        return self.phase

    def wait_while(self, phase: Phase, *, timeout_s: float | None = None, until: Flag | None = None) -> bool:
        """Handle posted events while in *phase*; True when it was left by one of them.

        False when *timeout_s* passed or *until* was set first, and the phase is still the same.
        Switches: yes, everything else runs meanwhile.
        """
        deadline = None if timeout_s is None else monotonic() + timeout_s
        if until is not None:
            until.rawlink(self._wake)
        try:
            while self.phase is phase:
                self._woken.clear()
                if self._posted:
                    self.advance(*self._posted.popleft()[:2])
                elif until is not None and until.is_set():
                    return False
                elif deadline is None:
                    self._woken.wait()
                elif not self._woken.wait(max(0.0, deadline - monotonic())) and monotonic() >= deadline:
                    return False
        finally:
            if until is not None:
                until.unlink(self._wake)
        return True

    def _wake(self, _flag: Flag) -> None:
        self._woken.set()
