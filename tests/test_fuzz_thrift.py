"""Any bytes to a Thrift server: an answer or the end of the connection, and the next client is served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import Fuzzed, examples, kept, mutated
from test_thrift_limits import codec  # noqa: F401 (a fixture)
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


@examples(60)
@given(data=st.binary(max_size=200))
def test_a_thrift_server_survives_noise(data):
    with serving(Testing.Processor(Quiet())) as server, Fuzzed(server, still_serves) as running:
        running.survives(data)
