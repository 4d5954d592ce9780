"""Thrift over a connection.

dialect.py      which of five framings a client speaks, from its first bytes
header.py       the THeader envelope, from bytes and to bytes
wire.py         bytes in and out of the socket
transport.py    whole messages, bounded
decode.py       structs from bytes, by whichever codec is harmless
protocol.py     Apache Thrift's header protocol over that transport
methods.py      handler methods that are coroutine functions
server.py       a greenlet per connection that feeds a processor
"""
