"""Thrift over a connection.

dialect.py      which of five framings a client speaks, from its first bytes
transport.py    whole messages in and out of a socket, bounded
protocol.py     Apache Thrift's header protocol over that transport
server.py       a greenlet per connection that feeds a processor
"""
