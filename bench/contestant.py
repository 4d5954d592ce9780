"""A server process under measurement."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

# Gets a port and seconds; how many requests were answered and in what time.
Load = Callable[[int, float], tuple[int, float]]

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class LoadFailed(Exception):
    """The server did not answer every request, or wrongly."""


class Contestant:
    """*command* is started with ``{port}`` filled in; *load* drives it for some seconds.

    CPU time and memory are those of all its processes.
    """

    def __init__(self, name: str, command: list[str], load: Load) -> None:
        self.name = name
        self._command = command
        self._load = load
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        core = min(os.sched_getaffinity(os.getppid()))
        command = [word.format(port=self.port) for word in self._command]
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                cwd=HERE,
                env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent / 'tests' / 'gen'}"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                except OSError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        output.seek(0)
                        raise SystemExit(f"{self.name} did not start:\n{output.read().decode()}") from None
                    time.sleep(0.02)
                else:
                    break
        try:
            self._load(self.port, 0.5)  # warm
        except BaseException:
            self.__exit__()
            raise
        self._cpu_before_s = self._cpu_s()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        assert self._process is not None  # noqa: S101 (entered)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def load(self, seconds: float) -> tuple[int, float]:
        """Drive it; requests answered, and in what time."""
        return self._load(self.port, seconds)

    def cpu_s(self) -> float:
        """CPU time of the process since it was warm."""
        return self._cpu_s() - self._cpu_before_s

    def rss_kb(self) -> float:
        """Resident memory, in kilobytes."""
        return sum(int(fields[21]) for fields in self._stats()) * PAGE / 1000

    def _cpu_s(self) -> float:
        return sum(int(fields[11]) + int(fields[12]) for fields in self._stats()) / TICKS

    def _stats(self) -> list[list[str]]:
        """Of each process of the server, what /proc/PID/stat has behind the name."""
        assert self._process is not None  # noqa: S101 (entered)
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            if int(fields[3]) == self._process.pid:  # the session
                found.append(fields)
        return found


PYTHON = sys.executable
