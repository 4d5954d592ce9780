"""Calls the greeter: python client.py [NAME] [--endpoint HOST:PORT] [--slowly SECONDS]"""

from __future__ import annotations

import argparse

from greeter_idl import Greeter
from greeter_idl.ttypes import NobodyToGreet
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

from baseplate_serve import config


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="world")
    parser.add_argument("--endpoint", type=config.Endpoint, default="localhost:9090")
    parser.add_argument("--slowly", type=float, metavar="SECONDS")
    arguments = parser.parse_args()

    transport = TBufferedTransport(TSocket(*arguments.endpoint.address))
    transport.open()
    try:
        client = Greeter.Client(THeaderProtocol(transport, (THeaderClientType.HEADERS,)))
        if arguments.slowly is None:
            print(client.greet(arguments.name))
        else:
            print(client.greet_slowly(arguments.name, arguments.slowly))
    except NobodyToGreet as nobody:
        print(f"nobody to greet: {nobody.hint}")
    finally:
        transport.close()


if __name__ == "__main__":
    main()
