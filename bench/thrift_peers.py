"""The peers' Thrift servers: ``thrift_peers.py KIND FRAMING PORT``.

The `header` framing of Apache's servers is found by `THeaderProtocol`, which serves the others, too.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

IDL = Path(__file__).parents[1] / "tests" / "gen" / "testing.thrift"


def apache_threaded(port: int, framing: str) -> None:
    """A thread for each connection."""
    from thrift.server.TServer import TThreadedServer  # noqa: PLC0415 (one peer loads nothing of another's)

    transports, protocols = apache_factories(framing)
    TThreadedServer(processor(), apache_listener(port), transports, protocols).serve()


def apache_nonblocking(port: int, _framing: str) -> None:
    """One thread polls, ten process."""
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory  # noqa: PLC0415
    from thrift.server.TNonblockingServer import TNonblockingServer  # noqa: PLC0415

    TNonblockingServer(processor(), apache_listener(port), TBinaryProtocolAcceleratedFactory()).serve()


def apache_factories(framing: str) -> tuple[Any, Any]:
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory  # noqa: PLC0415
    from thrift.protocol.THeaderProtocol import THeaderProtocolFactory  # noqa: PLC0415
    from thrift.transport.TTransport import (  # noqa: PLC0415
        TBufferedTransportFactory,
        TFramedTransportFactory,
    )

    if framing == "header":
        return TBufferedTransportFactory(), THeaderProtocolFactory()
    transports = TFramedTransportFactory() if framing == "framed" else TBufferedTransportFactory()
    return transports, TBinaryProtocolAcceleratedFactory()


def apache_listener(port: int) -> Any:
    from thrift.transport.TSocket import TServerSocket  # noqa: PLC0415

    return TServerSocket("127.0.0.1", port)


def processor() -> Any:
    import thrift_apps  # noqa: PLC0415

    return thrift_apps.make_processor({})


def thriftpy2(port: int, framing: str) -> None:
    """A thread for each connection, protocol and transport in Cython."""
    import thriftpy2  # noqa: PLC0415
    from thriftpy2.protocol.cybin import TCyBinaryProtocolFactory  # noqa: PLC0415
    from thriftpy2.server import TThreadedServer  # noqa: PLC0415
    from thriftpy2.thrift import TProcessor  # noqa: PLC0415
    from thriftpy2.transport import TServerSocket  # noqa: PLC0415
    from thriftpy2.transport.buffered import TCyBufferedTransportFactory  # noqa: PLC0415
    from thriftpy2.transport.framed import TCyFramedTransportFactory  # noqa: PLC0415

    import thrift_apps  # noqa: PLC0415 (the values it returns)

    testing = thriftpy2.load(str(IDL), module_name="testing_thrift")

    class Handler:
        def ping(self) -> None:
            pass

        def items(self, count: int) -> list[Any]:
            return thrift_apps.items(count, testing.Item)

    TThreadedServer(
        TProcessor(testing.Testing, Handler()),
        TServerSocket("127.0.0.1", port, backlog=128),
        itrans_factory=TCyFramedTransportFactory() if framing == "framed" else TCyBufferedTransportFactory(),
        iprot_factory=TCyBinaryProtocolFactory(),
    ).serve()


def constant(port: int, framing: str, call: str, *, below: bool = False) -> None:
    """What a gevent socket can do at most: every `recv` is answered with the reply to *call*.

    *below* gevent's socket: with the kernel's, which is waited for first.
    """
    from gevent.server import StreamServer  # noqa: PLC0415

    from below import below_of  # noqa: PLC0415
    from thrift_calls import CALLS, FRAMINGS  # noqa: PLC0415

    reply = FRAMINGS[framing].wrap(CALLS[call].reply)

    def handle(sock: Any, _address: Any) -> None:
        receive, send = below_of(sock) if below else (sock.recv, sock.sendall)
        while receive(65536):
            send(reply)

    StreamServer(("127.0.0.1", port), handle, backlog=1024).serve_forever()


KINDS = {
    "apache-threaded": apache_threaded,
    "apache-nonblocking": apache_nonblocking,
    "thriftpy2": thriftpy2,
    "constant": constant,
    "constant-below": functools.partial(constant, below=True),
}

if __name__ == "__main__":
    kind, framing_name, port_number, *more = sys.argv[1:]
    KINDS[kind](int(port_number), framing_name, *more)
