"""``factory = baseplate.server.thrift``"""

from __future__ import annotations

from baseplate_serve._servers.thrift.server import ThriftServer as GeventServer
from baseplate_serve.thrift import make_server

__all__ = ["GeventServer", "make_server"]
