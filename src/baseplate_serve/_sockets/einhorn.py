"""The worker's side of Stripe's Einhorn: sockets by environment, ACK over its command socket.

https://github.com/contribsys/einhorn (README, 'Einhorn socket passing' and 'manual ACK')
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from baseplate_serve.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

ACK_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class EinhornWorker:
    """What an Einhorn master told this worker."""

    master_pid: int
    fds: tuple[int, ...]
    sock_path: str | None
    child_index: str | None  # the worker's slot: stable across restarts


def worker_of(environ: Mapping[str, str], *, parent_pid: int) -> EinhornWorker | None:
    """The worker that *environ* describes; None if our parent is no Einhorn master.

    A grandchild inherits the variables and is no worker, hence the comparison with *parent_pid*.
    Raises `EndpointError` for variables that no Einhorn sets.
    """
    master = environ.get("EINHORN_MASTER_PID")
    if master is None or not re.fullmatch("[0-9]{1,9}", master) or int(master) != parent_pid:
        return None
    count = _number(environ, "EINHORN_FD_COUNT", "0")
    return EinhornWorker(
        master_pid=parent_pid,
        fds=tuple(_number(environ, f"EINHORN_FD_{index}") for index in range(count)),
        sock_path=environ.get("EINHORN_SOCK_PATH"),
        child_index=environ.get("EINHORN_CHILD_INDEX"),
    )


def _number(environ: Mapping[str, str], name: str, default: str | None = None) -> int:
    text = environ.get(name, default)
    if text is None or not re.fullmatch("[0-9]{1,9}", text):
        shown = "it is not set" if text is None else f"got {text!r}"
        raise EndpointError(f"{name}: expected a number from Einhorn, {shown}")
    return int(text)


def acknowledge(worker: EinhornWorker) -> None:
    """Tell the master that this worker serves: one JSON line, once.

    Raises `EndpointError` when the command socket cannot be reached.  Switches: yes.
    """
    if worker.sock_path is None:
        raise EndpointError("EINHORN_SOCK_PATH is not set: cannot tell Einhorn that this worker serves")
    line = json.dumps({"command": "worker:ack", "pid": os.getpid()}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ACK_TIMEOUT_S)
            sock.connect(worker.sock_path)
            sock.sendall(line.encode())
    except OSError as error:
        raise EndpointError(f"EINHORN_SOCK_PATH = {worker.sock_path!r}: {error}") from error
