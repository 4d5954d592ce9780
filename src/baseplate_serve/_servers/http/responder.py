"""The response: what an application gives, as bytes on the connection, head and body in one call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from baseplate_serve._lifecycle.connections import send_rest
from baseplate_serve._servers.http.body import NO_BODY
from baseplate_serve._servers.http.fields import date_line, fields_of, status_line
from baseplate_serve._servers.http.handler import Defaults
from baseplate_serve._servers.http.inbound import kernels_socket
from baseplate_serve.state import SERVER_STATE, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._servers.http.body import Body, NoBody
    from baseplate_serve._servers.http.fields import Fields
    from baseplate_serve._servers.http.head import Head
    from baseplate_serve._servers.http.inbound import Inbound

log = logging.getLogger("baseplate_serve.wsgi")

BODILESS = frozenset([204, 304])
JOINED_MAX = 32 * 1024  # bytes of a body; to copy more of them costs more than a second system call
_STAYING = (Phase.STARTING, Phase.SERVING)  # SERVER_STATE.shutting_down without its two properties: 0.1 µs


class Responder(Defaults):
    """The half of a handler that answers.  The other half says what the request was."""

    connection: Connection  # set by the server before `handle`
    application: Any
    code: int  # of the response

    def __init__(self, sock: Any, address: Any, server: Any, inbound: Inbound, head: Head) -> None:
        super().__init__(sock, address, server, inbound)  # type: ignore[call-arg] # no stub has it
        self._inbound = inbound
        self._head = head  # of the present request
        self.application = server.application
        self._kernels = kernels_socket(sock)
        # Attributes of the instance, all of them: to read one of the class costs twice as much.
        self.wsgi_input: Body | NoBody = NO_BODY  # type: ignore[assignment] # the stubs know pywsgi's only
        self.upgrading = False  # the application has the connection's bytes
        # Of the response
        self.unsendable = False  # the client takes no more
        self.response_use_chunked = False
        self._fields: Fields | None = None
        self._status_line = b""
        self._bodiless = False  # of a HEAD request, or with a status that has none
        self._left: int | None = None  # bytes of the declared length that are missing

    def run_application(self) -> None:
        """Call it and send its result, which is then closed.  Raises: whatever it raises.  Switches: yes."""
        result = self.application(self.environ, self.start_response)
        if type(result) is list:  # what most return: it has no close(), and asking for it costs 0.1 µs
            self._send_rest(result[0] if len(result) == 1 else b"".join(result))
            return
        self.result = result
        try:
            self.process_result()
        finally:
            close = getattr(result, "close", None)
            self.result = result = None  # a generator's frame may hold much
            if close is not None:
                close()

    def process_result(self) -> None:
        result: Any = self.result
        if hasattr(result, "__len__"):
            self._send_rest(b"".join(result))
            return
        for data in result:
            if data:
                self.write(data)
        if not self.headers_sent:
            self._send_first(b"", last=False)
        self._end_response()

    def _send_rest(self, data: bytes) -> None:
        """All that is left of the body, in one call if it is all there is."""
        if self.headers_sent:
            self._send_more(data)
        else:
            self._send_first(data, last=True)
        self._end_response()

    def _end_response(self) -> None:
        if self.response_use_chunked:
            self._sendall(b"0\r\n\r\n")
        elif self._left:
            raise self.ApplicationError(f"The response is {self._left} bytes shorter than its Content-Length")

    def start_response(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """WSGI's.  Raises: UnicodeError, ValueError for what is no head; `ApplicationError`."""
        if self.headers_sent:
            try:
                if not exc_info:
                    raise self.ApplicationError("The response has begun")
                raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # or it would be in a cycle with this frame
        code, line = status_line(status)
        fields = fields_of(headers)
        if code in BODILESS and fields[2]:
            raise self.ApplicationError(
                f"Invalid Content-Length for {code} response: '{fields[2]}' (must be absent or zero)"
            )
        self.status = self._orig_status = status
        self.code = code
        self._status_line = line
        self._fields = fields
        return self.write

    def write(self, data: bytes) -> None:
        if self.headers_sent:
            self._send_more(data)
        else:
            self._send_first(data, last=False)

    def _send_first(self, data: Any, *, last: bool) -> None:
        """The head with the first bytes of the body; *last*: there are no more."""
        if self.status is None or self._fields is None:
            self._send_nothing(data)
            return
        code = self.code
        lines, dated, length, connection = self._fields
        bodiless = code in BODILESS
        if data and bodiless:
            raise self.ApplicationError(f"The {code} response must have no body")
        bodiless = self._bodiless = bodiless or self._head.method == "HEAD"
        self._left = None
        self.response_use_chunked = False
        parts = [self._status_line, lines]
        if not dated:
            parts.append(date_line())
        if length is None:
            parts.append(self._framing(len(data), last=last))
        elif not bodiless:
            self._left = length
        parts.append(self._end_of_head(connection))
        body = None
        if data and not bodiless:
            body = self._framed(data)
            if len(body) > JOINED_MAX:
                body = memoryview(body)
            else:
                parts.append(body)
                body = None
        head = b"".join(parts)
        self.headers_sent = True
        self._sendall(head)
        if body is not None:
            self._sendall(body)

    def _send_nothing(self, data: Any) -> None:
        """There was no start_response(): right where the application has the socket, and wrong elsewhere."""
        if data or not self._inbound.handed_over:
            raise self.ApplicationError("The application did not call start_response()")
        self.headers_sent = self.close_connection = True
        self.response_use_chunked = False
        self._left = None
        self.code = 101

    def _send_more(self, data: bytes) -> None:
        if self._bodiless:
            if data and self._head.method != "HEAD":
                raise self.ApplicationError(f"The {self.code} response must have no body")
        elif data:
            self._sendall(self._framed(data))

    def _framed(self, data: Any) -> Any:
        """*data* as it is sent: a chunk, or counted, where its length was declared."""
        if self.response_use_chunked:
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        left = self._left
        if left is not None:
            self._left = left = left - len(data)
            if left < 0:  # the client would read the rest as its next response
                raise self.ApplicationError("The response is longer than its Content-Length")
        return data

    def _framing(self, size: int, *, last: bool) -> bytes:
        """The header that tells where the body ends, where the application doesn't.

        *size*: of the first bytes, or of the *last*.
        """
        if self.code in BODILESS or self.code == 101:
            return b""
        if last:
            # Frameworks drop the body of a response to HEAD themselves; its length is then unknown, not 0.
            return b"Content-Length: %d\r\n" % size if size or not self._bodiless else b""
        if self._bodiless:
            return b""
        if self._head.minor:
            self.response_use_chunked = True
            return b"Transfer-Encoding: chunked\r\n"
        self.close_connection = True  # HTTP/1.0: the end of the connection is the end of the body
        return b""

    def _end_of_head(self, given: str | None) -> bytes:
        """The Connection header, if there is to be one, and the empty line; *given* is the application's."""
        body = self.wsgi_input
        if given is not None and "close" in given.lower().replace(" ", "").split(","):
            self.close_connection = True
        if self.upgrading:
            # Either way the application may have read what came after the head.
            self.close_connection = True
            self._inbound.upgraded = self.code == 101
            if self._inbound.upgraded:
                return b"Connection: %b\r\n\r\n" % (given or "Upgrade").encode("latin-1")
        elif body is not NO_BODY and (body.broken or (body.expected and not body.is_here())):
            # Where the next request begins is unknown; or whether the client sends the body now.
            self.close_connection = True
        if self.close_connection or self.connection.leaving or SERVER_STATE.phase not in _STAYING:
            self.close_connection = True
            return b"Connection: close\r\n\r\n"
        if given is not None:
            return b"Connection: %b\r\n\r\n" % given.encode("latin-1")
        return b"\r\n" if self._head.minor else b"Connection: keep-alive\r\n\r\n"

    def _sendall(self, data: Any) -> None:
        """Raises: OSError.  Switches: yes, if the client does not take all of *data* at once."""
        sent = 0
        size = len(data)
        try:
            if self._kernels is not None:
                # Past gevent: its sendall() makes a view and a loop for what nearly always fits.  1 µs.
                try:
                    sent = self._kernels.send(data)
                except BlockingIOError:
                    sent = 0
            if sent != size:
                send_rest(self.socket, memoryview(data)[sent:], self.connection)
        except OSError:
            self.unsendable = self.close_connection = True
            raise
        self.response_length += size
        self.connection.tally.sent += size
