"""The two servers: what they share, and each one's protocol.

graceful.py        accepts, tracks, and stops without losing a request
thrift/            bytes to messages to a processor
http/              pywsgi's handler, tracked and logged
"""
