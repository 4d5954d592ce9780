"""The two servers: what they share, and each one's protocol.

graceful.py        accepts, tracks, and stops without losing a request
thrift/            bytes to messages to a processor
http/              WSGI applications: a handler of our own, or pywsgi's, tracked and logged
asgi/              ASGI applications, or some beside WSGI ones
entrance.py        what comes before the first request: the PROXY protocol, TLS
coroutines.py      the loop of a server whose application has coroutines
"""
