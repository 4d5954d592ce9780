"""ASGI applications on the WSGI server's connections.

inbox.py       what a client has sent and nobody has taken: for greenlets and for coroutines
outbox.py      what goes to it
news.py        coroutines that wait until something may have changed
head.py        the head of a request, parsed and checked
body.py        the body of a request, piece by piece
response.py    an application's messages as the bytes of a response
http.py        one request: the application's task, `receive` and `send`
cancel.py      cancelling such a task
websocket.py   one WebSocket
lifespan.py    start-up and shutdown
handler.py     a connection: which application, and when it may be used again
server.py      the server

Imported only for applications that need it.
"""
