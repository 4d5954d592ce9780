"""HTTP over a connection, for WSGI applications; what ASGI's side uses of it, too.

server.py      pywsgi's server, whose connections are tracked
strict.py      the handler of an application that names none: one request after the other
inbound.py     what a client sends, and where a head ends
head.py        a head, parsed by llhttp and checked
body.py        wsgi.input
chunks.py      how a chunked body is measured
responder.py   the response
fields.py      its status and headers
remembered.py  texts that clients repeat, within bounds
handover.py    the connection, for WebSocket libraries that take it over
refusal.py     what is said to a request that isn't served
limits.py      how large anything may be
forwarded.py   who the client is, behind a proxy
handler.py     what a handler of the application's own gets besides
patient.py     and its reader, which has time limits
"""
