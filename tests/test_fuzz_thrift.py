"""Any bytes to a Thrift server: an answer or the end of the connection, and the next client is served."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.transport.TTransport import TMemoryBuffer

from fuzzing import Fuzzed, examples, kept, mutated
from programs import needs
from test_thrift_limits import SENT, codec  # noqa: F401 (a fixture)
from testing_idl import Testing
from thrift_harness import Handler, client, serving

SEEDS = kept("thrift")


class Quiet(Handler):
    """Methods without an end, and errors of their own, tell nothing about the bytes."""

    def block(self, name):
        return name

    def fail(self):
        pass

    def fail_downstream(self):
        pass

    def bad_result(self):
        return 1

    def items(self, count):
        return super().items(max(0, min(count or 0, 100)))


def still_serves(address):
    class Server:
        pass

    Server.address = address
    with client(Server) as calls:
        assert calls.echo("alive") == "alive"


@pytest.fixture
def fuzzed(codec):  # noqa: F811
    with serving(Testing.Processor(Quiet())) as server, Fuzzed(server, still_serves) as running:
        yield running


@pytest.mark.parametrize("dialect", sorted({name.partition(",")[0] for name in SEEDS}))
def test_a_thrift_server_survives_any_bytes(fuzzed, dialect):
    seeds = [data for name, data in SEEDS.items() if name.startswith(dialect + ",")]

    @examples(25)
    @given(mutated(seeds), st.sampled_from([1, 1, 2, 7]))
    def survives(data, pieces):
        fuzzed.survives(data, pieces)

    for seed in seeds:
        fuzzed.survives(seed)
    survives()


@pytest.fixture(scope="module")
def every_type(tmp_path_factory):
    """The generated modules of a service whose method takes every type there is."""
    folder = tmp_path_factory.mktemp("gen-py")
    idl = Path(__file__).parent / "languages" / "everything.thrift"
    subprocess.run(["thrift", "--gen", "py", "-out", str(folder), str(idl)], check=True)
    sys.path.insert(0, str(folder))
    from everything import Languages, ttypes

    yield Languages, ttypes
    sys.path.remove(str(folder))


@needs("the Thrift compiler", shutil.which("thrift"))
@pytest.mark.parametrize("dialect", SENT)
def test_every_type_survives_any_bytes(codec, every_type, dialect):  # noqa: F811
    languages, types = every_type
    value = types.Everything(
        truth=True, tiny=-1, small=2, medium=3, large=4, real=0.5, text="text", data=b"\0\xff",
        texts=["a", "b"], numbers={1, 2}, sizes={"a": 1}, inner=types.Inner(7, "n"), colour=5,
        choice=types.Choice(number=1), table=[[], [1, 2]],
        groups={1: [types.Inner(2)]}, stamp=9, truths=[True, False], reals=[1.5],
        flags={"a": {"b": True}}, far=300,
    )  # fmt: skip
    arguments = languages.mirror_args(value)
    encoded = []
    for protocol in (TBinaryProtocol, TCompactProtocol):
        buffer = TMemoryBuffer()
        arguments.write(protocol(buffer))
        encoded.append(buffer.getvalue())
    seed = SENT[dialect](b"mirror", *encoded)

    class Takes:
        def mirror(self, value):
            return types.Everything()

        def ping(self):
            pass

    def answers(address):
        with socket.create_connection(address, timeout=20) as sock:
            sock.sendall(seed)
            assert b"mirror" in sock.recv(4096)

    @examples(25)
    @given(mutated([seed]), st.sampled_from([1, 1, 2, 7]))
    def survives(data, pieces):
        running.survives(data, pieces)

    with serving(languages.Processor(Takes())) as server, Fuzzed(server, answers) as running:
        survives()


@examples(60)
@given(data=st.binary(max_size=200))
def test_a_thrift_server_survives_noise(data):
    with serving(Testing.Processor(Quiet())) as server, Fuzzed(server, still_serves) as running:
        running.survives(data)
