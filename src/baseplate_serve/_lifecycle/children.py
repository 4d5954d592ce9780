"""A forked child that ends at once."""

from __future__ import annotations

import os

from gevent import get_hub

_installed = False


def hear_of_the_first() -> None:
    """Listen for SIGCHLD from before the first `os.fork` on.

    gevent does so after it: where the child has ended by then, its parent's `os.waitpid` waits for ever.
    Switches: no.
    """
    global _installed  # noqa: PLW0603 (what is registered at fork stays for good)
    if not _installed:
        _installed = True
        os.register_at_fork(before=get_hub().loop.install_sigchld)
