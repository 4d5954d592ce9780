"""The life of the process, as a table."""

from __future__ import annotations

import pytest

from baseplate_serve._lifecycle.phase import NEXT, Event, Phase, next_phase
from baseplate_serve.state import ServerLifecycle, ServerState


@pytest.mark.parametrize(
    ("life", "end"),
    [
        pytest.param([Event.READY], Phase.SERVING, id="ready"),
        pytest.param([Event.STOP_ASKED], Phase.STOPPED, id="stopped while starting"),
        pytest.param([Event.READY, Event.STOP_ASKED], Phase.DRAINING, id="draining"),
        pytest.param([Event.READY, *[Event.STOP_ASKED] * 5], Phase.DRAINING, id="einhorn repeats itself"),
        pytest.param(
            [Event.READY, Event.STOP_ASKED, Event.STOP_REPEATED], Phase.FINISHING, id="second signal"
        ),
        pytest.param(
            [Event.READY, Event.STOP_ASKED, Event.STOP_REPEATED, Event.STOP_REPEATED],
            Phase.STOPPED,
            id="third",
        ),
        pytest.param(
            [Event.READY, Event.STOP_ASKED, Event.DRAIN_OVER, Event.LAST_REPLY_SENT],
            Phase.STOPPED,
            id="whole life",
        ),
        pytest.param(
            [Event.READY, Event.STOP_ASKED, Event.DRAIN_OVER, Event.STOP_TIMEOUT], Phase.STOPPED, id="cut off"
        ),
    ],
)
def test_a_life(life, end):
    phase = Phase.STARTING
    for event in life:
        phase = next_phase(phase, event)
    assert phase is end


def test_what_cannot_happen_raises():
    """A pair outside the table is a mistake of ours, not a state to be in."""
    with pytest.raises(ValueError, match="drain over cannot happen while serving"):
        next_phase(Phase.SERVING, Event.DRAIN_OVER)


def test_no_phase_is_left_backwards():
    order = list(Phase)
    assert all(order.index(after) >= order.index(before) for (before, _), after in NEXT.items())


@pytest.mark.parametrize("phase", Phase)
def test_the_state_an_application_sees_is_shutting_down_from_the_drain_on(phase):
    state = ServerState()
    state.phase = phase
    leaving = phase not in (Phase.STARTING, Phase.SERVING)
    assert state.shutting_down is leaving
    assert state.state is (ServerLifecycle.SHUTTING_DOWN if leaving else ServerLifecycle.RUNNING)


def test_services_tests_may_assign_the_state():
    """Baseplate's SERVER_STATE.state is a plain attribute."""
    state = ServerState()
    state.state = ServerLifecycle.SHUTTING_DOWN
    assert state.shutting_down
    state.state = ServerLifecycle.RUNNING
    assert not state.shutting_down
