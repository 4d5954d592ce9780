"""``make bench-instructions``: instructions a request, counted by valgrind, beside the committed figures.

Each server runs twice, for FEW and for MANY requests, and what the second run counts over the first is what
the requests took.  The kernel's part is not counted, nor what a cache misses.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contestant import HERE, PYTHON, LoadFailed
from idle_clients import HTTP, THRIFT
from thrift_calls import CALLS, FRAMINGS

FEW, MANY = 50, 250
SAME_EACH_TIME = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
START_S = 600.0  # a server under valgrind takes its time, and CI does other things meanwhile
COMMITTED = HERE / "instructions.json"
PACKAGES = ("gevent", "greenlet", "httptools", "thrift")  # in whose code a request spends its time, too
VOID = CALLS["a void call"]
# Configuration, and what is sent and what the reply ends with.
CASES = {
    "HTTP, hello world": ("http.ini", HTTP),
    "ASGI, hello world": ("asgi.ini", HTTP),
    "Thrift, a void call, header": ("thrift.ini", THRIFT),
    "Thrift, a void call, framed": ("thrift.ini", (FRAMINGS["framed"].wrap(VOID.request), VOID.reply)),
}


def main() -> int:
    """Count, compare and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--write", action="store_true", help=f"commit the figures to {COMMITTED.name}")
    parser.add_argument("--out", help="where callgrind writes what callgrind_annotate reads")
    arguments = parser.parse_args()
    cases = [name for name in CASES if arguments.only in name]
    if not cases:
        parser.error(f"--only {arguments.only!r} is in none of: {'; '.join(CASES)}")
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed: apt-get install valgrind")
    minor = "{}.{}".format(*sys.version_info)
    committed = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    before = committed.get(minor, {})
    measured = {}
    for name in cases:
        try:
            measured[name] = instructions(*CASES[name], out=arguments.out)
        except LoadFailed as reason:
            sys.exit(str(reason))
        print(line(name, measured[name], before, versions()), flush=True)
    if arguments.write:
        figures = {**before.get("instructions", {}), **measured}
        committed[minor] = {"versions": versions(), "instructions": figures}
        COMMITTED.write_text(json.dumps(committed, indent=2, sort_keys=True) + "\n")
    return 0


def versions() -> dict[str, str]:
    """Of what is counted besides our own code."""
    python = f"{platform.python_version()} ({platform.python_compiler()})"
    return {"python": python, **{name: version(name) for name in PACKAGES}}


def line(name: str, measured: int, committed: dict[str, Any], here: dict[str, str]) -> str:
    """What is printed for a case: *committed* is the file's part for this Python, *here* are the versions."""
    text = f"{name}: {measured:,} instructions a request"
    before = committed.get("instructions", {}).get(name)
    if before is None:
        return f"{text}; none committed for this Python"
    text += f", committed {before:,}: {measured / before - 1:+.1%}"
    others = [f"{what} {had}" for what, had in committed["versions"].items() if had != here.get(what)]
    return f"{text} (of {', '.join(others)})" if others else text


def instructions(configuration: str, exchange: tuple[bytes, bytes], *, out: str | None) -> int:
    """Those that a request of *exchange* takes.  *out*: a file for callgrind's data of the longer run."""
    with ThreadPoolExecutor() as both:
        few = both.submit(count, configuration, exchange, FEW, "/dev/null")
        many = both.submit(count, configuration, exchange, MANY, out or "/dev/null")
        return round((many.result() - few.result()) / (MANY - FEW))


def count(configuration: str, exchange: tuple[bytes, bytes], requests: int, out: str) -> int:
    """Instructions of a server from its start to its end, with *requests* on one connection between."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={Path(out).absolute()}"]
        process = subprocess.Popen(
            [*command, PYTHON, "-m", "baseplate_serve", "--bind", str(path), configuration],
            cwd=HERE,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **SAME_EACH_TIME},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        problem = ""
        try:
            drive(path, exchange, requests, process)
        except LoadFailed as reason:
            problem = str(reason)
        finally:
            process.terminate()
            _, said = process.communicate()
    found = re.search(r"I\s+refs:\s+([\d,]+)", said)
    if problem or found is None:
        raise LoadFailed(f"{said}{configuration}: {problem or 'valgrind has counted nothing'}")
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
                piece = sock.recv(65536)
                if not piece:
                    raise LoadFailed("the server closed its connection")
                received += piece


if __name__ == "__main__":
    sys.exit(main())
