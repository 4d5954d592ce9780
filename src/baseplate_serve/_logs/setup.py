"""Where log records go.

Standard output, as text at a terminal and as JSON elsewhere; then the `[loggers]` sections of the INI file,
if it has them, put their own handlers in the place of ours.
"""

from __future__ import annotations

import logging
import logging.config
import os
import sys
import warnings
from configparser import ConfigParser
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from baseplate_serve._logs.formats import JsonFormatter, TextFormatter
from baseplate_serve.errors import FileError


def configure(*, debug: bool, stream: TextIO | None = None, filename: str | None = None) -> None:
    """Send all records from INFO on (DEBUG with *debug*), and warnings, to *stream*.

    *stream* is `sys.stdout` if it is not given.  *filename* is the INI file if it has `[loggers]`.  Calling
    it again replaces what the call before installed.  Raises `FileError`.  Switches: no.
    """
    if stream is None:
        stream = sys.stdout  # None if the process was started with it closed
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, Output):
            root.removeHandler(handler)
    root.addHandler(Output(stream))
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)
    if debug:
        warnings.simplefilter("always")  # DeprecationWarning too, which is for developers
    if filename is not None:
        _read_loggers(filename)


class Output(logging.StreamHandler[Any]):
    """Writes records to a stream, and survives its end.

    When the reader of our pipe is gone, or the disk is full, every record would raise, and `logging` would
    print a traceback for each.  We say it once on standard error and serve on.  `logging.raiseExceptions`
    would silence that too, but for the application's own handlers as well, whose owners want to know.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        self.stream = stream  # logging takes None for standard error
        self.setFormatter(TextFormatter() if _is_terminal(stream) else JsonFormatter())
        self._error: OSError | ValueError | None = None  # why the last record was lost, if it was

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is None:
            return
        try:
            line = self.format(record) + self.terminator
        except Exception:  # noqa: BLE001 (a formatter or filter that somebody put on this handler)
            self.handleError(record)
            return
        try:
            self._write(line)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            if self._error is None:
                _complain(f"log lines are lost: {error}")
            self._error = error
        else:
            self._error = None

    def _write(self, line: str) -> None:
        try:
            self.stream.write(line)
        except UnicodeEncodeError as error:  # a terminal that is not UTF-8
            self.stream.write(line.encode(error.encoding, "backslashreplace").decode(error.encoding))
        self.stream.flush()

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            super().flush()

    def close(self) -> None:
        # Python flushes standard output as it exits, and returns 120 if that fails: a clean stop would be
        # reported as a crash.  https://docs.python.org/3/library/signal.html#note-on-sigpipe
        if isinstance(self._error, OSError):
            with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())
        super().close()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def _complain(text: str) -> None:
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"baseplate-serve: {text}", file=sys.stderr, flush=True)


class _Watched(ConfigParser):
    """Knows which section was asked for last: the one that fileConfig's error is about."""

    section: str | None = None

    def __getitem__(self, section: str) -> Any:
        self.section = section
        return super().__getitem__(section)


def _read_loggers(filename: str) -> None:
    """Let the file's logging sections override ours.  Raises `FileError`."""
    # Read here because fileConfig reads in the locale's encoding.  Values are interpolated one by one as
    # they are asked for, so a '%' in another section does no harm.  `$NAME` is not expanded: it belongs to
    # logging's own style of formats.
    parser = _Watched()
    try:
        parser.read(filename, encoding="utf-8")
        # Baseplate leaves disable_existing_loggers at True, which silences every logger that exists by now
        # and that the file does not name.  The application is not loaded yet, so these are the server's and
        # its libraries': 'listening', 'draining' and every request that was cut off would go unreported.
        # What a file says about names that it has works the same either way.
        logging.config.fileConfig(parser, disable_existing_loggers=False)
    except Exception as error:  # the file's own classes and expressions run here, and may raise anything
        raise FileError(_problem(parser, error), filename=filename, section=parser.section) from error


def _problem(parser: _Watched, error: Exception) -> str:
    """What fileConfig complains of, in one line."""
    if isinstance(error, KeyError):
        name = str(error.args[0])
        if name == parser.section:
            return "there is no such section, which logging needs"
        if name in {"keys", "class", "handlers", "qualname", "args"}:
            return f"{name} is missing"
        return f"{name!r} is not among the keys that the file lists"
    if isinstance(error, ValueError) and parser.section == "loggers":
        return "keys must name root"
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | TypeError | OSError):
        return text
    return f"{type(error).__name__}: {text}"
