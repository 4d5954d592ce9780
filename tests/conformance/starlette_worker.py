"""Run those of Starlette's own tests that ask an application something, over our server and real sockets.

    starlette_worker.py SUITE RESULTS [ARGUMENT]...     (what pytest is to run in the directory SUITE)

RESULTS gets a JSON line when a test begins and one when it has ended; the last one tells how many servers
were started.
"""

import os
import sys

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402 (the standard library is patched first)
import httpx  # noqa: E402
import pytest  # noqa: E402

from baseplate_serve._servers import graceful  # noqa: E402
from recorder import Recorder  # noqa: E402

TEST_S = 20
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
graceful.HANDSHAKE_S = 0  # nobody connects while a server stops
# It fails a test that blocks; what it looks for isn't what blocks in a patched process.
sys.modules["blockbuster"] = None
# The suite wants httpx's successor, which has the same classes; TestClient takes either.
sys.modules.setdefault("httpx2", httpx)

from starlette_client import Client, Served  # noqa: E402 (after the name is there)


class OurServer:
    """A pytest plugin: `test_client_factory` is ours, and tests that ask for none aren't run."""

    def pytest_plugin_registered(self, plugin):
        """The suite's conftest.py is there, and nobody has looked at its fixtures."""
        if getattr(plugin, "__name__", "") != "tests.conftest":
            return

        @pytest.fixture
        def test_client_factory():
            clients = []

            def make(*args, **options):
                clients.append(Client(*args, **options))
                return clients[-1]

            yield make
            for client in clients:
                client.end()

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        plugin.test_client_factory = test_client_factory
        plugin.anyio_backend = anyio_backend

    def pytest_collection_modifyitems(self, config, items):
        others = [item for item in items if "test_client_factory" not in item.fixturenames]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)


def main(suite, path, *arguments):
    # The deadline's signal may come while the hub polls; then, too, it is for the test, in the main greenlet.
    gevent.get_hub().SYSTEM_ERROR += (pytest.fail.Exception,)
    os.chdir(suite)
    with open(path, "w") as results:
        recorder = Recorder(results)
        plugins = ["-p", "anyio.pytest_plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
        options = [*plugins, "--timeout-method=signal", f"--timeout={TEST_S}"]
        pytest.main([*options, *arguments], plugins=[OurServer(), recorder])
        recorder.write(servers=Served.servers)
    os._exit(0)  # a suite may leave threads and children behind


if __name__ == "__main__":
    main(*sys.argv[1:])
