"""HTTP: hello world over 32 keep-alive connections, load by wrk."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from contestant import PYTHON, Contestant

TITLE = "HTTP, hello world, 32 keep-alive connections (wrk)"


def wrk(port: int, seconds: float) -> tuple[int, float]:
    """Load for *seconds*, a whole number at least; the replies and the time they took."""
    program = shutil.which("wrk")
    if program is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    output = subprocess.run(
        [program, "-t1", "-c32", f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", output)
    if found is None or "errors" in output:
        sys.exit(f"wrk: {output}")
    return int(found[1]), float(found[2])


def contestants() -> list[Contestant]:
    """The first is what others are compared with."""
    return [
        Contestant("pywsgi + TCP_NODELAY", [PYTHON, "servers.py", "pywsgi-nodelay", "{port}"], wrk),
        Contestant(
            "baseplate-serve (wsgi)",
            [PYTHON, "-m", "baseplate_serve", "--bind", "127.0.0.1:{port}", "http.ini"],
            wrk,
        ),
        Contestant("pywsgi as Baseplate binds it", [PYTHON, "servers.py", "pywsgi", "{port}"], wrk),
    ]
