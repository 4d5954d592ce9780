"""HTTP load by wrk: keep-alive connections, requests that a few lines of Lua describe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from contestant import LoadFailed

if TYPE_CHECKING:
    from contestant import Load, Window

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


def wrk(path: str = "/", script: str = "", connections: int = CONNECTIONS) -> Load:
    """A load of requests for *path*, which the Lua *script* changes."""

    def drive(port: int, seconds: float, window: Window) -> int:
        with window:
            output = _run(f"http://127.0.0.1:{port}{path}", seconds, script, connections)
        requests, rate = replies(output, closes=script == CLOSE)
        window.elapsed_s = requests / rate  # without what wrk takes to start and to end
        return requests

    return drive


def _run(url: str, seconds: float, script: str, connections: int) -> str:
    """What wrk prints of *seconds*, a whole number of them and 1 at least."""
    program = shutil.which("wrk")
    if program is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:  # wrk reads it several times: no pipe
        file.write(script)
        file.flush()
        return subprocess.run(
            [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", file.name, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def replies(output: str, *, closes: bool) -> tuple[int, float]:
    """How many wrk counted, and how many a second.  *closes*: a connection for each request.

    Raises: LoadFailed if anything but replies with status 200 came, or none.
    """
    count, rate = re.search(r"(\d+) requests in", output), re.search(r"Requests/sec: +([\d.]+)", output)
    if count is None or rate is None or not int(count[1]) or "Non-2xx" in output:
        raise LoadFailed(output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    connect, read, write, timeout = map(int, errors.groups()) if errors else (0, 0, 0, 0)
    # wrk sends on over a connection that it wants closed unless the reply says so (pywsgi's doesn't), and
    # calls the end an error: one for each request at most.
    if connect or write or timeout or read > (int(count[1]) if closes else 0):
        raise LoadFailed(errors[0] if errors else output)
    return int(count[1]), float(rate[1])


LOADS: dict[str, Load] = {
    "hello world, keep-alive": wrk(),
    "a body of 10 kB up": wrk("/up", UP),
    "a body of 10 kB down": wrk("/down"),
    "20 headers more": wrk(script=HEADERS),
    "16 requests pipelined": wrk(script=PIPELINED),
    "a connection for each request": wrk(script=CLOSE),
}
