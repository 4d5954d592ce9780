"""Instructions a request, counted by valgrind's callgrind: steadier than any clock.

``PYTHONPATH=tests/gen python bench/instructions.py thrift``: the server runs twice, for FEW and for MANY
requests, and what the second run counts over the first is what the requests took.  The kernel's part
is not counted, nor what a cache misses.
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contestant import HERE, PYTHON, LoadFailed
from idle_clients import HTTP
from thrift_calls import CALLS, FRAMINGS

FEW, MANY = 500, 10_500  # so far apart that what differs in starting is 1 % of it
SAME_EACH_TIME = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
START_S = 120.0  # a server under valgrind takes its time


def main() -> int:
    """Count and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=["http", "thrift"])
    parser.add_argument("--call", choices=CALLS, default="a void call")
    parser.add_argument("--framing", choices=FRAMINGS, default="header")
    parser.add_argument("--out", help="where callgrind writes what callgrind_annotate reads")
    arguments = parser.parse_args()
    call = CALLS[arguments.call]
    exchange = (FRAMINGS[arguments.framing].wrap(call.request), call.reply)
    if arguments.server == "http":
        exchange = HTTP
    few, many = (count(f"{arguments.server}.ini", exchange, n, arguments.out) for n in (FEW, MANY))
    print(f"{(many - few) / (MANY - FEW):,.0f} instructions a request")
    return 0


def count(configuration: str, exchange: tuple[bytes, bytes], requests: int, out: str | None) -> int:
    """Instructions of a server from its start to its end, with *requests* on one connection between."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out or '/dev/null'}"]
        process = subprocess.Popen(
            [*command, PYTHON, "-m", "baseplate_serve", "--bind", str(path), configuration],
            cwd=HERE,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **SAME_EACH_TIME},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            drive(path, exchange, requests, process)
        finally:
            process.terminate()
            _, said = process.communicate()
    found = re.search(r"I\s+refs:\s+([\d,]+)", said)
    if found is None:
        sys.exit(said)
    return int(found[1].replace(",", ""))


def drive(path: Path, exchange: tuple[bytes, bytes], requests: int, server: subprocess.Popen[str]) -> None:
    """Send *requests*, one after the other, when *server* listens at *path*.  Raises: LoadFailed."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(path))
            break
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise LoadFailed("did not start") from None
            time.sleep(0.05)
    request, end = exchange
    with sock:
        for _ in range(requests):
            sock.sendall(request)
            received = b""
            while not received.endswith(end):
                received += sock.recv(65536)


if __name__ == "__main__":
    sys.exit(main())
