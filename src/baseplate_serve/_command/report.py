"""Errors, as an operator reads them: on standard error, short, and the status they end the process with."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from baseplate_serve.errors import ServeError, UsageError

if TYPE_CHECKING:
    from types import TracebackType

PACKAGE = Path(__file__).parents[1]
# What leads to an application's code: the command, the loader of what the file names, and imports.
THE_WAY_IN = (
    str(PACKAGE / "_command"),
    str(PACKAGE / "_settings" / "objects.py"),
    str(Path(importlib.__file__).parent),
    "<frozen importlib",
)


def report(error: ServeError) -> int:
    """Print *error* and return its exit status.

    A user's mistake takes a line.  An application's failure is shown with its own traceback, from its
    first line on: how we got there is no help.
    """
    cause = error.__cause__
    if cause is not None and not isinstance(error, UsageError):
        traceback.print_exception(type(cause), cause, _from_its_own(cause.__traceback__))
    for line in str(error).split("\n"):
        print(f"baseplate-serve: {_printable(line)}", file=sys.stderr)
    return error.exit_status


def _printable(text: str) -> str:
    """*text* with what no terminal should get, from a file or the environment, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _from_its_own(frames: TracebackType | None) -> TracebackType | None:
    """*frames* without the way in; None if there are no others, as a SyntaxError's are."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(THE_WAY_IN):
        frames = frames.tb_next
    return frames
