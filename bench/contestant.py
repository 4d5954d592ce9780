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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_S = 30.0  # more than any server needs to listen
WARM_UP_S = 0.5
FEWEST = 100  # replies that a rate, and a CPU time in ticks of 10 ms, can be made of
PYTHON = sys.executable
# The `bin` of an environment with the real baseplate package, which `make bench` makes.
BASEPLATE = HERE.parent / ".venv-baseplate-{}.{}".format(*sys.version_info) / "bin"


class LoadFailed(Exception):
    """The server did not start, or did not answer every request, or wrongly."""


@dataclass(frozen=True)
class Measured:
    """What a load asked of a server."""

    requests: int
    elapsed_s: float
    cpu_s: float  # of all processes of the server

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.elapsed_s

    @property
    def cost_us(self) -> float:
        """Microseconds of the server's CPU time a request."""
        return self.cpu_s / self.requests * 1e6


class Window:
    """What is measured of a load: a `with` block around its requests, without opening connections."""

    measured_s = disturbed_s = 0.0  # of all windows: their length, and CPU time that other programs had

    def __init__(self, cpu_s: Callable[[], float]) -> None:
        self._cpu_s = cpu_s
        self.elapsed_s = self.cpu_s = self._others_s = 0.0

    def __enter__(self) -> None:
        self._others_s = -_busy_s() + _own_s()
        self.cpu_s = -self._cpu_s()
        self.elapsed_s = -time.perf_counter()

    def __exit__(self, *_exc_info: object) -> None:
        self.elapsed_s += time.perf_counter()
        self.cpu_s += self._cpu_s()
        self._others_s += _busy_s() - _own_s() - self.cpu_s
        Window.measured_s += self.elapsed_s
        Window.disturbed_s += max(0.0, self._others_s)


def _busy_s() -> float:
    """CPU time of all programs since the machine's start."""
    user, nice, system, _idle, _wait, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS


def _own_s() -> float:
    """CPU time of this process, and of those that it started and waited for."""
    return sum(os.times()[:4])


# Gets a port, seconds, and what to enter meanwhile; how many requests were answered.
Load = Callable[[int, float, Window], int]


class Contestant:
    """*command* is started with ``{port}`` filled in; *load* drives it for some seconds.

    CPU time and memory are those of all its processes.
    """

    def __init__(self, name: str, command: list[str], load: Load | None = None) -> None:
        self.name = name
        self.command = command
        self._load = load
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.begin = 0.0  # when it was started, by the performance counter

    def __enter__(self) -> Self:
        """Start it, wait until it listens, and warm it up.  Raises: LoadFailed."""
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        core = min(os.sched_getaffinity(os.getppid()))
        command = [word.format(port=self.port) for word in self.command]
        with tempfile.TemporaryFile() as output:
            self.begin = time.perf_counter()
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                cwd=HERE,
                env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent / 'tests' / 'gen'}"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                self._wait_until_it_listens(output)
                if self._load is not None:
                    self._drive(self._load, WARM_UP_S)
            except BaseException:
                self.__exit__()
                raise
        return self

    def _wait_until_it_listens(self, output: IO[bytes]) -> None:
        while not self._listens():
            assert self._process is not None  # noqa: S101 (entered)
            if self._process.poll() is not None or time.perf_counter() > self.begin + START_S:
                output.seek(0)
                print(output.read().decode(errors="replace"), file=sys.stderr)
                raise LoadFailed("did not start")
            time.sleep(0.005)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def __exit__(self, *_exc_info: object) -> None:
        assert self._process is not None  # noqa: S101 (entered)
        with suppress(ProcessLookupError):  # it had ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def load(self, seconds: float, load: Load | None = None) -> Measured:
        """Drive it, with its own load or another.  Raises: LoadFailed."""
        load = load or self._load
        assert load is not None  # noqa: S101 (one of them is given)
        measured = self._drive(load, seconds)
        if measured.requests < FEWEST:
            raise LoadFailed(f"no useful rate: {measured.requests} replies in {measured.elapsed_s:.1f} s")
        return measured

    def _drive(self, load: Load, seconds: float) -> Measured:
        window = Window(self.cpu_s)
        try:
            requests = load(self.port, seconds, window)
        except OSError as error:
            raise LoadFailed(str(error)) from error
        if not requests:
            raise LoadFailed("no reply")
        return Measured(requests, window.elapsed_s, window.cpu_s)

    def rss_kb(self) -> float:
        """Resident memory, in kilobytes."""
        return sum(int(fields[21]) for fields in self._stats()) * PAGE / 1000

    def cpu_s(self) -> float:
        """CPU time since its start."""
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
