"""``baseplate.server.monkey``"""

from __future__ import annotations

from gevent import monkey

from baseplate_serve._command.patch import patch_stdlib_queues

__all__ = ["gevent_is_patched", "patch_stdlib_queues"]


def gevent_is_patched() -> bool:
    """True once gevent has patched anything of the standard library."""
    return bool(monkey.saved)  # type: ignore[attr-defined] # the stubs lack it
