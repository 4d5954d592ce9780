"""The name that a worker writes its metrics under.

In multiprocess mode prometheus_client names the files of a process after its pid.  Nobody removes them,
and every scrape reads them all: 200 dead workers leave 600 files, 38 MB.  A *slot* is a name that the next
worker takes over, with the files: it counts on where the last one ended, so that totals stay right.

    slot_0.lock   flock'ed by the worker that holds slot 0, for as long as it lives: the kernel lets go of
                  it however that worker ends
    slots.lock    flock'ed for a moment by whoever takes a slot or looks for dead ones, so that a look at a
                  free slot is not mistaken for its holder

Lock files stay; there are as many as workers ever lived at the same time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from itertools import count
from typing import TYPE_CHECKING

from baseplate_serve.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# prometheus_client finds the name again by splitting 'gauge_livesum_NAME.db' at '_', and globs for it: no
# underscore, nothing special to a shell.  64 characters, so that a Kubernetes pod's name fits.
_NAME = re.compile("[A-Za-z0-9-]{1,64}")


def wanted_slot(environ: Mapping[str, str], *, einhorn_worker: bool) -> str | None:
    """The slot that *environ* assigns to this process; None if any will do.

    ``EINHORN_CHILD_INDEX`` counts for a worker of Einhorn only: a grandchild inherits it, too.
    Raises `UsageError` for a name that no file can have.
    """
    einhorns = ("EINHORN_CHILD_INDEX",) if einhorn_worker else ()
    for variable in (*einhorns, "MULTIPROCESS_WORKER_ID"):
        name = environ.get(variable)
        if name is None:
            continue
        if not _NAME.fullmatch(name):
            raise UsageError(f"{variable} = {name!r}: expected 1 to 64 letters, digits and hyphens")
        return name
    return None


class Slot:
    """A name that no other living process writes metrics under.

    Resource handling: an open descriptor with a lock, until the process ends or `release`.
    """

    def __init__(self, directory: Path, wanted: str | None) -> None:
        self.directory = directory
        self._wanted = wanted
        self._name, self._fd = _take(directory, wanted)
        self._forked = False  # this is a child of the process that took the slot: it needs one of its own
        _held.append(self)

    def name(self) -> str:
        """The name; in a forked child that of a slot of its own, taken when it is first asked for.

        prometheus_client asks before each write, and opens other files when the answer changes.
        """
        if self._forked:
            self._name, self._fd = _take(self.directory, self._wanted)
            self._forked = False
        return self._name

    def retire(self) -> None:
        """Remove our live gauges, and keep the name: greenlets and `atexit` may still count something.

        A second process that wrote the same files meanwhile would damage them.  Idempotent.
        """
        if not self._forked:
            _remove_live_gauges(self.directory, self._name)

    def release(self) -> None:
        """Retire, and let another process have the name: this one writes no more metrics.  Idempotent."""
        if self not in _held:
            return
        self.retire()
        _held.remove(self)
        if not self._forked:
            _unlock(self._fd)

    def _after_fork_in_child(self) -> None:
        # A forked child shares the lock, which would outlive the worker in it.  Closing the child's copy
        # leaves the worker's lock as it is; unlocking would not.
        if not self._forked:
            os.close(self._fd)
            self._forked = True


_held: list[Slot] = []  # by this process; one, but in tests


def _after_fork_in_child() -> None:
    for slot in _held:
        slot._after_fork_in_child()  # noqa: SLF001 (this module's own class)


os.register_at_fork(after_in_child=_after_fork_in_child)


def take_slot(directory: Path, wanted: str | None) -> Slot:
    """A slot of *directory*: *wanted*, or the lowest free number if that is None.

    While a living process holds *wanted* (in a rolling restart the old worker drains and the new one
    serves) it is ``wanted-1``, ``wanted-2``, ….  Call it before any metric is made.
    Raises OSError: the directory cannot be written, or its file system has no locks.
    """
    return Slot(directory, wanted)


def forget_the_dead(directory: Path) -> None:
    """Remove the live gauges of slots that nobody holds: a worker that was killed could not do it itself.

    Waits for nobody: does nothing while a worker takes its slot or another scrape is in here.
    Raises OSError.  Switches: no.
    """
    guard = _lock(_guard_file(directory))
    if guard is None:
        return
    try:
        for path in directory.glob("slot_*.lock"):
            fd = _lock(path)
            if fd is None:
                continue  # its holder lives
            try:
                _remove_live_gauges(directory, path.stem.removeprefix("slot_"))
            finally:
                _unlock(fd)
    finally:
        _unlock(guard)


def _take(directory: Path, wanted: str | None) -> tuple[str, int]:
    """The first free one of the candidates, and the descriptor that holds it."""
    guard = _lock(_guard_file(directory), wait=True)
    try:
        for name in _candidates(wanted):
            fd = _lock(directory / f"slot_{name}.lock")
            if fd is None:
                continue
            try:
                _remove_live_gauges(directory, name)
                # These are one series per process.  Ours starts at zero, as under a new pid: 'in progress'
                # must not go on from what a killed worker had in progress.
                (directory / f"gauge_all_{name}.db").unlink(missing_ok=True)
            except OSError:
                _unlock(fd)
                raise
            return name, fd
    finally:
        _unlock(guard)
    raise AssertionError("there is always another candidate")


def _candidates(wanted: str | None) -> Iterator[str]:
    if wanted is None:
        yield from map(str, count())
    else:
        yield wanted
        yield from (f"{wanted}-{number}" for number in count(1))


def _remove_live_gauges(directory: Path, name: str) -> None:
    # Imported late: with metrics.enabled = false nobody pays for prometheus_client.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 (see above)

    with contextlib.suppress(FileNotFoundError):  # somebody cleans the directory while we look
        mark_process_dead(name, path=str(directory))  # type: ignore[no-untyped-call] # its library's are


def _guard_file(directory: Path) -> Path:
    return directory / "slots.lock"


def _lock(path: Path, *, wait: bool = False) -> int | None:
    """A descriptor that holds the lock of *path*; None if another one does and we don't *wait*."""
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def _unlock(fd: int | None) -> None:
    if fd is not None:
        # Not by closing alone: a child that was forked meanwhile shares the lock.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
