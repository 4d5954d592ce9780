"""Standard streams that a supervisor closed."""

from __future__ import annotations

import os


def occupy_standard_streams() -> None:
    """Open /dev/null where descriptor 0, 1 or 2 is closed.

    Else the next sockets would get these numbers, and a client what some library writes to standard error.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
