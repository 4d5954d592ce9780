"""A server process under measurement."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


class Contestant:
    """*command* is started with ``{port}`` filled in; *load* drives it for some seconds.

    *load* gets a port and seconds, and returns how many requests were answered and in what time.
    """

    def __init__(
        self, name: str, command: list[str], load: Callable[[int, float], tuple[int, float]]
    ) -> None:
        self.name = name
        self._command = command
        self._load = load
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self._port = found.getsockname()[1]
        core = min(os.sched_getaffinity(os.getppid()))
        command = [word.format(port=self._port) for word in self._command]
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                cwd=HERE,
                env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent / 'tests' / 'gen'}"},
                stdout=output,
                stderr=output,
            )
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self._port), 1).close()
                except OSError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        output.seek(0)
                        raise SystemExit(f"{self.name} did not start:\n{output.read().decode()}") from None
                    time.sleep(0.02)
                else:
                    break
        self._load(self._port, 0.5)  # warm
        self._cpu_before_s = self._cpu_s()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        assert self._process is not None  # noqa: S101 (entered)
        self._process.kill()
        self._process.wait()

    def load(self, seconds: float) -> tuple[int, float]:
        """Drive it; requests answered, and in what time."""
        return self._load(self._port, seconds)

    def cpu_s(self) -> float:
        """CPU time of the process since it was warm."""
        return self._cpu_s() - self._cpu_before_s

    def _cpu_s(self) -> float:
        assert self._process is not None  # noqa: S101 (entered)
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


PYTHON = sys.executable
