"""Run anyio's own tests on a loop of ours, in a process whose standard library is gevent's.

    anyio_worker.py SUITE RESULTS LOOP [ARGUMENT]...     (what pytest is to run in the directory SUITE)

LOOP is compat:HubEventLoop; with asyncio:SelectorEventLoop one sees what gevent's patches alone do to it.

RESULTS gets a JSON line when a test begins and one when it has ended, so that whoever reads it knows where a
process that hangs stands; the last one tells how many loops were made.
"""

import os
import sys

from gevent import monkey

monkey.patch_all()

import asyncio  # noqa: E402 (the standard library is patched first)
import logging  # noqa: E402
import pkgutil  # noqa: E402
import socket  # noqa: E402

import gevent  # noqa: E402
import pytest  # noqa: E402

from recorder import Recorder  # noqa: E402

TEST_S = 20
# anyio runs its tests so: the plugins that its pyproject.toml names, and no others.
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
# It fails a test that blocks; what it looks for isn't what blocks in a patched process.
sys.modules["blockbuster"] = None


class OneLoop:
    """A pytest plugin: the asyncio backend on a loop of *kind* is the only one."""

    def __init__(self, kind):
        self.made = 0
        plugin = self

        class CountedLoop(kind):
            def __init__(self, *args):
                plugin.made += 1
                super().__init__(*args)

        self.kind = CountedLoop
        self.take_the_default_loops_place()

    def take_the_default_loops_place(self):
        """For the sessions in its tests of anyio's pytest plugin, and where a test makes a loop itself."""
        asyncio.unix_events._UnixDefaultEventLoopPolicy._loop_factory = self.kind
        if hasattr(asyncio, "EventLoop"):
            asyncio.EventLoop = self.kind

    def pytest_plugin_registered(self, plugin):
        """The suite's conftest.py is there, and nobody has looked at its fixtures."""
        if getattr(plugin, "__name__", "") != "tests.conftest":
            return
        backend = ("asyncio", {"debug": True, "loop_factory": self.kind})
        one = pytest.param(backend, id="asyncio+gevent")
        plugin.asyncio_params[:] = plugin.backend_params[:] = [one]

        @pytest.fixture(params=[one])
        def anyio_backend(request):
            return request.param

        plugin.anyio_backend = anyio_backend


def give_localhost_both_addresses():
    """Half of the tests of sockets want `localhost` to be ::1, too, and not every /etc/hosts says so."""
    resolver = type(gevent.get_hub().resolver)
    look_up, bind_natively = resolver.getaddrinfo, socket.socket.bind

    def getaddrinfo(self, host, port, family=0, *args, **kwargs):
        hosts = [host]
        if host in ("localhost", b"localhost") and socket.has_ipv6:
            hosts = {socket.AF_INET6: ["::1"], socket.AF_INET: ["127.0.0.1"]}.get(
                family, ["::1", "127.0.0.1"]
            )
        return [each for host in hosts for each in look_up(self, host, port, family, *args, **kwargs)]

    def bind(self, address):
        if address[:1] == ("localhost",):
            address = socket.getaddrinfo(*address[:2], self.family)[0][4]
        bind_natively(self, address)

    resolver.getaddrinfo = getaddrinfo
    socket.socket.bind = bind


def blocked_in_gevent(record):
    """Our debug mode's message that a step blocked; the suite keeps asyncio's such messages away itself."""
    return "handed the loop over" in record.msg or record.msg.startswith("The loop waited")


def main(suite, path, loop, *arguments):
    # The deadline's signal may come while the hub polls; then, too, it is for the test, in the main greenlet.
    gevent.get_hub().SYSTEM_ERROR += (pytest.fail.Exception,)
    give_localhost_both_addresses()
    logging.getLogger("asyncio").addFilter(lambda record: not blocked_in_gevent(record))
    one_loop = OneLoop(pkgutil.resolve_name(loop))
    os.chdir(suite)
    with open(path, "w") as results:
        recorder = Recorder(results)
        options = ["-p", "no:cacheprovider", "--timeout-method=signal", f"--timeout={TEST_S}"]
        pytest.main([*options, *arguments], plugins=[one_loop, recorder])
        recorder.write(loops=one_loop.made)
    os._exit(0)  # a suite may leave threads and children behind


if __name__ == "__main__":
    main(*sys.argv[1:])
