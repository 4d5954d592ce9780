"""ASGI applications, or some beside WSGI applications: connections that are served in the loop.

inbox.py       what a client has sent and nobody has taken: for greenlets and for coroutines
outbox.py      what goes to it
news.py        coroutines that wait until something may have changed
head.py        the head of a request, parsed and checked
body.py        the body of a request, piece by piece
response.py    an application's messages as the bytes of a response
http.py        one request: the application's task, `receive` and `send`
cancel.py      cancelling such a task
websocket.py   one WebSocket
handshake.py   the request that opens it
messages.py    what has come of it, until the application takes it
close_codes.py why it is closed
pulse.py       whether its client is still there
scope.py       what the application is told of a request
lifespan.py    start-up and shutdown
connection.py  a connection: which application a request is for, and what comes after it
handler.py     the WSGI side of a connection, where some requests are for WSGI applications
server.py      the server

Imported only for applications that need it.
"""
