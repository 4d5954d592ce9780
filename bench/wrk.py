"""HTTP load by wrk: 32 connections, requests that a few lines of Lua describe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from contestant import LoadFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from contestant import Load

CONNECTIONS = 32

UP = """
wrk.method = "POST"
wrk.body = string.rep("x", 10000)
"""
HEADERS = """
for i = 1, 20 do wrk.headers["X-Header-Number-" .. i] = "a value of usual length, " .. i end
"""
PIPELINED = """
init = function()
  local one, all = wrk.format("GET", "/"), {}
  for i = 1, 16 do all[i] = one end
  wave = table.concat(all)
end
request = function() return wave end
"""
CLOSE = """
wrk.headers["Connection"] = "close"
"""


def load(path: str = "/", script: str = "") -> Load:
    """A load of requests for *path*, which the Lua *script* changes."""

    def drive(port: int, seconds: float) -> tuple[int, float]:
        return wrk(port, seconds, path, script)

    return drive


def wrk(port: int, seconds: float, path: str = "/", script: str = "") -> tuple[int, float]:
    """Load for *seconds*, a whole number at least; the replies and the time they took.

    Raises: LoadFailed if anything but replies with status 200 came.
    """
    program = shutil.which("wrk")
    if program is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    url = f"http://127.0.0.1:{port}{path}"
    output = subprocess.run(
        [program, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", "/dev/stdin", url],
        input=script,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", output)
    wrong = re.search(r"Non-2xx.*|Socket errors.*", output)
    if found is None or wrong or not int(found[1]):
        raise LoadFailed(wrong[0] if wrong else output)
    return int(found[1]), float(found[2])


LOADS: dict[str, Callable[[], Load]] = {
    "hello world, keep-alive": load,
    "a body of 10 kB up": lambda: load("/up", UP),
    "a body of 10 kB down": lambda: load("/down"),
    "20 headers more": lambda: load(script=HEADERS),
    "16 requests pipelined": lambda: load(script=PIPELINED),
    "a connection for each request": lambda: load(script=CLOSE),
}
