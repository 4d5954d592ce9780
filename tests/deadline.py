"""Waiting in tests: for an event, with a deadline, never for luck."""

from __future__ import annotations

import time

import gevent

DEADLINE_S = 20.0


def wait_for(condition, what="the condition", deadline_s=DEADLINE_S):
    """Return what *condition* returns once it is true.  Raises `AssertionError` after the deadline.

    Switches: yes."""
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {deadline_s} s"
        gevent.sleep(0.005)
    return found
