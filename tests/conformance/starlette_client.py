"""A client with the methods of Starlette's TestClient, for an application that our server serves.

Where TestClient calls the application, this one starts a server for it and asks over real sockets.  Like
TestClient it waits until the application's call has ended, and raises what that raised.
"""

import json
import socket
import ssl
from contextlib import ExitStack
from urllib.parse import urljoin

import httpx
import websockets.exceptions
import websockets.sync.client
from gevent.event import Event
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from baseplate_serve import wsgi
from baseplate_serve.errors import ApplicationError

UNUSED_TLS = ssl.create_default_context()  # one for all: it takes longer than a server and its requests
ENDS_S = 10  # an application's call, after the client has what it asked for
HANDSHAKE = {"connection", "date", "upgrade", "sec-websocket-accept", "sec-websocket-protocol"}


class Served:
    """*app* on a server of its own, from the first request on, or while its lifespan lasts."""

    servers = 0  # that were started
    present = None  # there is one in a process: it has the loop

    def __init__(self, app, root_path):
        self.app = app
        self.root_path = root_path
        self.raised = []
        self._server = self._listener = None
        self._has_lifespan = False
        self._running = 0
        self._idle, self._lifespan_over = Event(), Event()
        self._idle.set()

    async def __call__(self, scope, receive, send):
        is_lifespan = scope["type"] == "lifespan"
        if is_lifespan and not self._has_lifespan:
            raise NotImplementedError
        self._running += not is_lifespan
        (self._lifespan_over if is_lifespan else self._idle).clear()
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            self.raised.append(error)
            raise
        finally:
            self._running -= not is_lifespan
            if is_lifespan:
                self._lifespan_over.set()
            elif not self._running:
                self._idle.set()

    def start(self, *, lifespan=False):
        if Served.present is not None:
            Served.present.stop()
        Served.present = self
        self._has_lifespan = lifespan
        section = {"factory": "", "stop_timeout": "5 seconds", "forwarded.from": "127.0.0.1"}
        if self.root_path:
            section["root_path"] = self.root_path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = wsgi.make_server(section, self._listener, self)
        Served.servers += 1
        try:
            self._server.start()
        except ApplicationError:
            assert self._lifespan_over.wait(ENDS_S)
            self.stop()
            raise
        if lifespan and self.raised:
            self.stop()

    def stop(self):
        if self._server is not None:
            self._server.stop()
            self._listener.close()
            self._server = Served.present = None
        self.raise_what_was_raised()

    def address(self):
        if self._server is None:
            self.start()
        return "127.0.0.1", self._server.address[1]

    def settle(self, *, raises=True):
        """Wait for the end of the application's calls."""
        assert self._idle.wait(ENDS_S), f"the application was not done after {ENDS_S} seconds"
        if raises:
            self.raise_what_was_raised()
        self.raised.clear()

    def raise_what_was_raised(self):
        raised, self.raised = self.raised, []
        if raised:
            raise raised[0]

    def stripped(self, url):
        """As the proxy sends it on that the option root_path is for."""
        if self.root_path:
            path = url.raw_path.decode("ascii")
            assert path.startswith(self.root_path)
            url = url.copy_with(raw_path=path.removeprefix(self.root_path).encode("ascii"))
        return url


class Transport(httpx.BaseTransport):
    """To the server, whatever the URL's host; https is what a proxy says of it."""

    def __init__(self, served, *, raises):
        self._served = served
        self._raises = raises
        self._real = httpx.HTTPTransport(verify=UNUSED_TLS)

    def handle_request(self, request):
        host, port = self._served.address()
        headers = request.headers.copy()
        if request.url.scheme == "https":
            headers["x-forwarded-proto"] = "https"
        url = self._served.stripped(request.url).copy_with(scheme="http", host=host, port=port)
        sent = httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        try:
            response = self._real.handle_request(sent)
        except httpx.TransportError:
            self.settle()
            raise
        response.stream = Body(response.stream, self)
        return response

    def settle(self):
        self._served.settle(raises=self._raises)

    def close(self):
        self._real.close()


class Body(httpx.SyncByteStream):
    """A response's, whose end is the application's, too."""

    def __init__(self, body, transport):
        self._body = body
        self._transport = transport

    def __iter__(self):
        try:
            yield from self._body
        except httpx.TransportError:
            self._transport.settle()
            raise

    def close(self):
        self._body.close()
        self._transport.settle()


class Client(httpx.Client):
    """With TestClient's arguments.  A `with` is a lifespan."""

    def __init__(
        self,
        app,
        *,
        base_url="http://testserver",
        raise_server_exceptions=True,
        root_path="",
        cookies=None,
        headers=None,
        follow_redirects=True,
    ):
        self.served = Served(app, root_path)
        super().__init__(
            base_url=base_url,
            headers={"user-agent": "testclient", **(headers or {})},
            transport=Transport(self.served, raises=raise_server_exceptions),
            follow_redirects=follow_redirects,
            cookies=cookies,
        )

    def __enter__(self):
        self.served.stop()
        self.served.start(lifespan=True)
        return self

    def __exit__(self, *_):
        self._transport.close()
        self.served.stop()

    def end(self):
        self.close()
        self.served.stop()

    def websocket_connect(self, url, subprotocols=None, auth=None, **request):
        return Session(self, urljoin("ws://testserver", url), subprotocols, request, auth)


class Session:
    """With the methods of TestClient's sessions."""

    def __init__(self, client, url, subprotocols, request, auth):
        self._served = client.served
        self._subprotocols = subprotocols
        self._request = client.build_request("GET", url, **request)
        if auth is not None:
            self._request = next(httpx.BasicAuth(*auth).auth_flow(self._request))
        self._exits = ExitStack()

    def __enter__(self):
        url = self._served.stripped(self._request.url)
        headers = [
            pair
            for pair in self._request.headers.multi_items()
            if pair[0] not in ("connection", "host") and not pair[0].startswith("sec-websocket-")
        ]
        if url.scheme == "wss":
            headers.append(("x-forwarded-proto", "https"))
        try:
            self._socket = self._exits.enter_context(
                websockets.sync.client.connect(
                    str(url.copy_with(scheme="ws")),
                    sock=socket.create_connection(self._served.address()),
                    subprotocols=self._subprotocols,
                    additional_headers=headers,
                    user_agent_header=None,
                    compression=None,
                    proxy=None,
                    ping_interval=None,
                )
            )
        except websockets.exceptions.InvalidStatus as error:
            self._served.settle()
            raise self._denied(error.response) from None
        self.accepted_subprotocol = self._socket.subprotocol
        self.extra_headers = [
            (name.encode(), value.encode())
            for name, value in self._socket.response.headers.raw_items()
            if name.lower() not in HANDSHAKE
        ]
        return self

    @staticmethod
    def _denied(response):
        if response.status_code == 403 and not response.body:
            return WebSocketDisconnect(1006)
        headers = list(response.headers.raw_items())
        return WebSocketDenialResponse(response.status_code, headers=headers, content=bytes(response.body))

    def __exit__(self, *_):
        self._exits.close()
        self._served.settle()

    def send_text(self, data):
        self._socket.send(data)

    def send_bytes(self, data):
        self._socket.send(data)

    def send_json(self, data, mode="text"):
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        self._socket.send(text if mode == "text" else text.encode())

    def close(self, code=1000, reason=None):
        self._socket.close(code, reason or "")

    def receive(self):
        try:
            data = self._socket.recv(timeout=ENDS_S)
        except websockets.exceptions.ConnectionClosed:
            code, reason = self._socket.close_code, self._socket.close_reason
            return {"type": "websocket.close", "code": code, "reason": reason}
        return {"type": "websocket.send", ("text" if isinstance(data, str) else "bytes"): data}

    def _receive(self, key):
        message = self.receive()
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"], message["reason"])
        return message[key]

    def receive_text(self):
        return self._receive("text")

    def receive_bytes(self):
        return self._receive("bytes")

    def receive_json(self, mode="text"):
        data = self._receive("text" if mode == "text" else "bytes")
        return json.loads(data)
