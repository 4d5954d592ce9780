"""Makes the standard library cooperative.  First of all, before anything that keeps a socket, a lock or a
thread of the unpatched library is imported.
"""

from __future__ import annotations

from importlib.util import find_spec

from gevent import monkey


def patch() -> None:
    """Patch the standard library, its queues, and psycopg2 where psycogreen is installed."""
    if not monkey.is_module_patched("socket"):
        monkey.patch_all()
    patch_stdlib_queues()
    if find_spec("psycogreen") is not None and find_spec("psycopg2") is not None:
        from psycogreen.gevent import patch_psycopg  # noqa: PLC0415 (only where it is installed)

        patch_psycopg()


def patch_stdlib_queues() -> None:
    """Put gevent's queues in the place of the standard library's, which `patch_all` leaves alone.

    Pools are built on them, and an unpatched one loses a connection when its greenlet is killed:
    https://github.com/gevent/gevent/issues/1875.
    """
    import queue  # noqa: PLC0415 (after patching)

    import gevent.queue  # noqa: PLC0415

    monkey.patch_module(queue, gevent.queue, items=["Queue", "LifoQueue", "PriorityQueue"])
