"""`SERVER_STATE`: what an application may ask about the process that serves it.

    from baseplate_serve.state import SERVER_STATE     # or: from baseplate.server import SERVER_STATE

    def is_healthy(self, context, request):
        return request.probe != IsHealthyProbe.READINESS or not SERVER_STATE.shutting_down

Only the lifecycle writes it.
"""

from __future__ import annotations

from enum import Enum, auto

from baseplate_serve._lifecycle.phase import Phase

__all__ = ["SERVER_STATE", "Phase", "ServerLifecycle", "ServerState"]


class ServerLifecycle(Enum):
    """The two states that existing services compare `ServerState.state` with."""

    RUNNING = auto()
    SHUTTING_DOWN = auto()


class ServerState:
    """The phase of one server process."""

    phase: Phase  # written by the lifecycle alone

    def __init__(self, state: ServerLifecycle = ServerLifecycle.RUNNING) -> None:
        self.phase = Phase.STARTING
        if state is ServerLifecycle.SHUTTING_DOWN:
            self.state = state

    @property
    def state(self) -> ServerLifecycle:
        """``RUNNING`` until a stop is asked for, ``SHUTTING_DOWN`` from the first moment of the drain."""
        if self.phase in (Phase.STARTING, Phase.SERVING):
            return ServerLifecycle.RUNNING
        return ServerLifecycle.SHUTTING_DOWN

    @state.setter
    def state(self, state: ServerLifecycle) -> None:
        # Baseplate's is a plain attribute, and services' own tests assign to it.
        self.phase = Phase.SERVING if state is ServerLifecycle.RUNNING else Phase.DRAINING

    @property
    def shutting_down(self) -> bool:
        """True from the first moment of the drain: readiness should fail."""
        return self.state is ServerLifecycle.SHUTTING_DOWN

    def __repr__(self) -> str:
        return f"<ServerState {self.phase}>"


SERVER_STATE = ServerState()
