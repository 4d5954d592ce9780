"""A handler may fork.  Its child has the server's listener and connections, and is no server: when it exits,
it must not be answered for and serve on, as happens to a handler's sys.exit() otherwise.
"""

from __future__ import annotations

import os
import sys

_serves: set[int] = set()  # the process in which a server was started


def serving_here() -> None:
    """A server was started in this process.  Its children forget it: the number is not theirs."""
    _serves.add(os.getpid())


def leave_if_forked(error: BaseException) -> None:
    """End this process if *error* is a SystemExit and no server was started here.  Switches: no."""
    if not isinstance(error, SystemExit) or not _serves or os.getpid() in _serves:
        return
    code = error.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)  # as multiprocessing's children end: what runs at exit is the parent's
