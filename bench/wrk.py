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
            return _run(f"http://127.0.0.1:{port}{path}", seconds, script, connections)

    return drive


def _run(url: str, seconds: float, script: str, connections: int) -> int:
    """The replies within *seconds*, a whole number of them and 1 at least.

    Raises: LoadFailed if anything but replies with status 200 came.
    """
    program = shutil.which("wrk")
    if program is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:  # wrk reads it several times: no pipe
        file.write(script)
        file.flush()
        output = subprocess.run(
            [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", file.name, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"(\d+) requests in", output)
    # wrk sends on over a connection that it wants closed unless the reply says so (pywsgi's doesn't), and
    # calls the end an error.
    errors = r"connect 0, read \d+, write 0, timeout 0" if script == CLOSE else "none"
    wrong = re.search(rf"Non-2xx.*|Socket errors: (?!{errors}).*", output)
    if found is None or wrong or not int(found[1]):
        raise LoadFailed(wrong[0] if wrong else output)
    return int(found[1])


LOADS: dict[str, Load] = {
    "hello world, keep-alive": wrk(),
    "a body of 10 kB up": wrk("/up", UP),
    "a body of 10 kB down": wrk("/down"),
    "20 headers more": wrk(script=HEADERS),
    "16 requests pipelined": wrk(script=PIPELINED),
    "a connection for each request": wrk(script=CLOSE),
}
