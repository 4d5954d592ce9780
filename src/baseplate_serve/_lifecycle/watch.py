"""Who keeps a server waiting for too long is let go."""

from __future__ import annotations

import logging
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import get_hub

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection, Connections
    from baseplate_serve._settings.patience import Patience

log = logging.getLogger("baseplate_serve")

EVERY_S = 1.0  # a look at ten thousand connections takes some milliseconds


class Watch:
    """Looks at all *connections* once a second, more often where *patience* is shorter than some seconds.

    That is cheaper than a timer for each wait: a connection only notes when a wait began.
    """

    def __init__(self, connections: Connections, patience: Patience) -> None:
        self._connections = connections
        self._patience = patience
        self._timer: Any = None
        self._every = 0.0  # seconds between two looks
        self._looked_at = 0.0  # by the monotonic clock

    def start(self) -> None:
        """Switches: no."""
        if self._timer is None and self._patience.shortest < inf:
            every = min(EVERY_S, self._patience.shortest / 4)
            self._every = every
            self._looked_at = monotonic()
            self._timer = get_hub().loop.timer(every, every, ref=False)
            self._timer.start(self._look)

    def stop(self) -> None:
        """Switches: no."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _look(self) -> None:
        now = monotonic()
        since = now - self._looked_at
        if since < self._every / 2:
            return  # libev makes up for a look that came late, perhaps before anything could be read
        self._looked_at = now
        if since > 2 * self._every:
            return  # it was us who didn't move (SIGSTOP, a handler that blocks): what has come is read first
        for connection in self._connections:
            why = _late(connection, self._patience, now)
            if why is not None:
                log.info("%s: %s is over, disconnected", connection.peer, why)
                connection.time_out(why)


def _late(connection: Connection, patience: Patience, now: float) -> str | None:
    """The name of the option that *connection* has outlasted."""
    if connection.send_since is not None and now - connection.send_since > patience.send_timeout:
        return "send_timeout"
    if connection.body_since is not None and now - connection.body_since > patience.body_timeout:
        return "body_timeout"
    if connection.head_since is not None:
        return "head_timeout" if now - connection.head_since > patience.head_timeout else None
    if connection.began_at is not None:
        return None
    if connection.idle_since == connection.opened_at:
        late = now - connection.opened_at > patience.first_byte_timeout
        return "first_byte_timeout" if late else None
    return "idle_timeout" if now - connection.idle_since > patience.idle_timeout else None
