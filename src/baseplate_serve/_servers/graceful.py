"""What both servers share: accept, track every connection, stop without losing a request."""

from __future__ import annotations

import errno
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from greenlet import GreenletExit

from baseplate_serve._lifecycle.connections import Connection, Connections, InFlight
from baseplate_serve._lifecycle.forked import in_children, serving_here, silence
from baseplate_serve._lifecycle.watch import Watch
from baseplate_serve._servers.entrance import Entrance
from baseplate_serve._settings.patience import Patience
from baseplate_serve._sockets.bind import OwnListener, no_delay
from baseplate_serve._sockets.leave import HANDSHAKE_S, refuse_handshakes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseplate_serve._servers.coroutines import Coroutines
    from baseplate_serve._settings.options import ServerSettings

SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}  # accept(2): what may come back by itself
PAUSE_S = 0.2
COMPLAIN_EVERY_S = 60.0

log = logging.getLogger("baseplate_serve")

# How long after stop_timeout all clean-up may take before the process leaves without it: `finally` clauses of
# what is cut off, the shutdown of ASGI applications, tasks that are no request's.
CLEAN_UP_S = 5.0
LAST_S = 1.0  # what is left of it at least, for those that come last: nobody has told them before


class GracefulServer(StreamServer):
    """A gevent server that knows its connections.

    `stop` closes idle connections at once and waits for requests in flight; ``stop_timeout`` bounds it.
    *patience* says how long it waits for clients where *settings* don't; *protocols* are ALPN's names.
    """

    def __init__(
        self,
        listener: Any,
        *,
        settings: ServerSettings,
        patience: Patience,
        max_concurrency: int | None,
        protocols: Sequence[str] = (),
        **pywsgi: Any,  # what else gevent's WSGIServer takes, where it is a base
    ) -> None:
        serving_here()  # before any lifespan, which may fork, too
        self.entrance = Entrance(settings, protocols)
        self.connections = Connections()
        self._watch = Watch(self.connections, Patience.chosen(vars(settings), patience))
        self.abandoned = 0  # requests cut off, ever
        self._left_to_parent = False  # this is a forked child
        self.deadline = 0.0  # of the stop, by the monotonic clock
        self._complain_at = 0.0  # when it may be logged again that no connection can be accepted, by the same
        self._clean_up_by = 0.0  # when what was cut off has to have cleaned up, by the same
        self.coroutines: Coroutines | None = None  # set where the application has some
        self._own_listener = isinstance(listener, OwnListener)
        no_delay(listener)
        self._greenlets = Pool(max_concurrency)  # one for each connection
        super().__init__(listener, spawn=self._greenlets, **pywsgi)
        self.stop_timeout = settings.stop_timeout.total_seconds()

    def spawn_in(self, greenlet_class: type[gevent.Greenlet[..., Any]]) -> None:
        """Serve connections in greenlets of *greenlet_class* from now on."""
        self._greenlets.greenlet_class = greenlet_class

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection.  gevent calls it in a greenlet of its own.  Switches: yes."""
        if self._left_to_parent:
            return  # accepted before the fork
        connection = Connection(sock, address)
        self.connections.add(connection)
        try:
            if self.entrance.is_open:
                self.serve(sock, address, connection)
            elif entered := self.entrance.enter(sock, address, connection):
                self.serve(*entered, connection)
        finally:
            self.connections.discard(connection)
            connection.sock.close()

    def serve(self, sock: Any, address: Any, connection: Connection) -> None:
        """Serve the requests of *connection*.  Switches: yes."""
        raise NotImplementedError

    def in_flight(self) -> list[InFlight]:
        """The requests in flight, oldest first."""
        return self.connections.in_flight()

    def do_read(self) -> Any:  # gevent calls it where a client waits to be accepted
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in SCARCE:
                raise
            self._pause(error)
            return None

    def _pause(self, error: OSError) -> None:
        """Leave clients in the listener's queue for a moment; some connection may end meanwhile."""
        now = monotonic()
        if now >= self._complain_at:
            self._complain_at = now + COMPLAIN_EVERY_S
            text = "no connection can be accepted (%s), %d are open: trying again every %g s"
            log.error(text, error.strerror, len(self.connections), PAUSE_S)
        self.stop_accepting()
        self._timer = self.loop.timer(PAUSE_S)
        self._timer.start(self._start_accepting_if_started)  # type: ignore[attr-defined,call-arg] # the stubs are wrong

    def start(self) -> None:
        """Switches: no."""
        super().start()
        self._watch.start()
        in_children(self, GracefulServer._leave_to_parent)

    def _leave_to_parent(self) -> None:
        self._left_to_parent = True
        self._watch.stop()
        silence(*(connection.sock for connection in self.connections))

    def stop(self, timeout: float | None = None) -> None:
        """Close the listener, let every connection go, cut off what is left after *timeout* seconds.

        *timeout* defaults to the ``stop_timeout`` option.  Killing the greenlet that is in here skips
        the wait.  Switches: yes, requests in flight run meanwhile.
        """
        timeout = self.stop_timeout if timeout is None else timeout
        self.deadline = monotonic() + timeout
        try:
            self._leave_listener()
            if self.connections.any_newer_than(HANDSHAKE_S):
                gevent.sleep(HANDSHAKE_S)  # the first request of one that was just accepted is under way
            self.connections.leave()
            self.connections.none_left.wait(max(0.0, self.deadline - monotonic()))
        except GreenletExit:
            self.deadline = monotonic()  # the rest is skipped
            raise
        finally:
            self.close()
            self._cut_off()
            self._watch.stop()
            if self.coroutines is not None:
                self.coroutines.stop(min(CLEAN_UP_S, max(LAST_S, self.clean_up_left_s)))

    def _leave_listener(self) -> None:
        if self.closed:
            return
        if self._own_listener:  # of one that others share, they take what is queued
            if refuse_handshakes(self.socket):
                gevent.sleep(HANDSHAKE_S)  # the accept loop goes on meanwhile
            if self.started and not self.full():
                self._do_read()  # type: ignore[attr-defined] # whatever is still in the queue
        self.close()

    def _cut_off(self) -> None:
        abandoned = self.in_flight()
        for request in abandoned:
            log.warning("stop_timeout is over, cut off: %s", request)
        self.abandoned += len(abandoned)
        self._clean_up_by = max(monotonic(), self.deadline) + CLEAN_UP_S
        self._end()
        for request in self.in_flight():
            log.error("does not end, left behind: %s", request)

    def _end(self) -> None:
        """End what still runs, and give it time for its clean-up."""
        self._greenlets.kill(block=True, timeout=self.clean_up_left_s)

    @property
    def clean_up_left_s(self) -> float:
        """How long the stop may still take, all of it."""
        return max(0.0, self._clean_up_by - monotonic())
