"""Which files a server was made of, and when they change."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baseplate_serve.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILES_FD = "BASEPLATE_SERVE_FILES_FD"  # where a child of --reload writes the files it loaded
TELL_EVERY_S = 1.0
DEBOUNCE_MS = 100  # an editor writes a file in several steps
LOOK_UP_MS = 250  # how often to look whether the child lives, and what it has loaded


def loaded_files() -> set[str]:
    """The files of all modules that are loaded, sources rather than byte code."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {file for file in files if isinstance(file, str)}


def files_of(error: BaseException | None) -> set[str]:
    """The files that *error* and its causes are about: those it passed through, and the one that does not
    parse, the ones that a factory may be meant to stand in.
    """
    files: set[str] = set()
    while error is not None:
        files.update(frame.filename for frame in traceback.extract_tb(error.__traceback__))
        if isinstance(error, SyntaxError) and error.filename:
            files.add(error.filename)
        if isinstance(error, FileError) and error.option == "factory" and error.value:
            module = error.value.partition(":")[0].replace(".", "/")
            files |= {f"{module}.py", f"{module}/__init__.py"}
        error = error.__cause__ or error.__context__
    return {file for file in files if not file.startswith("<")}  # <frozen importlib._bootstrap>


class Teller:
    """The child's side: writes each file once to the descriptor that --reload gave us.

    With each goes its time of modification when it was loaded: by the time that we come to tell, it may
    have been written again.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._told: set[str] = set()
        self._modified: dict[str, int | None] = {}  # of modules that were loaded since
        os.set_inheritable(fd, False)
        sys.addaudithook(self._note_loaded)  # cannot be removed; this process is for development only

    def tell(self, files: Iterable[str]) -> None:
        """Tell the parent of those of *files* it does not know.  A parent that is gone is no matter."""
        new = set(files) - self._told
        self._told |= new
        lines = "".join(f"{self._modified.get(file) or _modified(file) or 0} {file}\n" for file in new)
        if lines:
            with suppress(BrokenPipeError):
                os.write(self._fd, lines.encode(errors="surrogateescape"))

    def _note_loaded(self, event: str, arguments: tuple[Any, ...]) -> None:
        # 'exec' is a module's code, among others, which was read a moment ago.
        file = getattr(arguments[0], "co_filename", "") if event == "exec" else ""
        if file.endswith(".py") and file not in self._modified:
            self._modified[file] = _modified(file)


class Watch:
    """The parent's side: knows the files, waits until one of them changes."""

    def __init__(self, files: Iterable[str]) -> None:
        """Raises `UsageError` where watchfiles is not installed."""
        try:
            import watchfiles  # noqa: PLC0415 (an extra)
        except ImportError:
            raise UsageError("--reload needs watchfiles: pip install 'baseplate-serve[reload]'") from None
        self._watchfiles = watchfiles
        self._written: dict[str, int | None] = {}  # file to its time of modification when it was read
        self._changes: Any = None  # watchfiles' generator, over the directories of the files
        self._fd: int | None = None
        self._heard = b""
        self.learn(files)

    def listen_to(self, fd: int) -> None:
        """Learn of files from a new child, through *fd*."""
        if self._fd is not None:
            self._hear()  # the last words of the child before
            os.close(self._fd)
        os.set_blocking(fd, False)
        self._fd = fd

    def wait(self) -> set[str]:
        """The files that have changed since they were read; empty if none did for a moment."""
        self._hear()
        if self._changes is None:
            folders = {str(Path(file).parent) for file in self._written}
            self._changes = self._watchfiles.watch(
                *(folder for folder in folders if os.path.isdir(folder)),
                watch_filter=lambda _change, file: file in self._written,
                recursive=False,
                debounce=DEBOUNCE_MS,
                rust_timeout=LOOK_UP_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
            )
        next(self._changes, None)
        # What changed is read from the files, not from the events: nothing is missed while no
        # generator runs, and a file that was written again with the same time is not new.
        return {file for file, written in self._written.items() if _modified(file) != written}

    def learn(self, files: Iterable[str]) -> None:
        """Watch *files*, too, as they are now."""
        self._learn({file: _modified(file) for file in files})

    def forget(self, changed: Iterable[str]) -> None:
        """Take *changed* as they are now."""
        for file in changed:
            self._written[file] = _modified(file)

    def _hear(self) -> None:
        if self._fd is None:
            return
        while True:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            self._heard += data
        lines, _, self._heard = self._heard.rpartition(b"\n")  # the last line may come in two pieces
        told = (line.split(" ", 1) for line in lines.decode(errors="surrogateescape").splitlines() if line)
        self._learn({file: int(modified) or None for modified, file in told})

    def _learn(self, read: Mapping[str, int | None]) -> None:
        known = {Path(file).parent for file in self._written}
        for file, modified in read.items():
            path = os.path.abspath(file)
            # One that is not there yet is watched, too: it may be what the server is waiting for.
            if path not in self._written and os.path.isdir(os.path.dirname(path)):
                self._written[path] = modified
        if {Path(file).parent for file in self._written} - known:
            self._changes = None


def _modified(file: str) -> int | None:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None  # an editor is replacing it, or it is gone: a change either way
