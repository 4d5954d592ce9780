"""Errors, as an operator reads them: on standard error, short, and the status they end the process with."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from baseplate_serve.errors import ServeError, UsageError

if TYPE_CHECKING:
    from types import TracebackType

PACKAGE = str(Path(__file__).parents[1])


def report(error: ServeError) -> int:
    """Print *error* and return its exit status.

    A user's mistake takes a line.  An application's failure is shown with its own traceback, from its
    first line on: how we got there is no help."""
    cause = error.__cause__
    if cause is not None and not isinstance(error, UsageError):
        traceback.print_exception(type(cause), cause, _from_its_own(cause.__traceback__))
    for line in str(error).splitlines():
        print(f"baseplate-serve: {line}", file=sys.stderr)
    return error.exit_status


def _from_its_own(frames: TracebackType | None) -> TracebackType | None:
    """*frames* without those at the beginning that are ours or the import system's."""
    frame = frames
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        if not filename.startswith((PACKAGE, "<frozen importlib")) and "importlib" not in filename:
            return frame
        frame = frame.tb_next
    return frames  # it is about our own code after all, or there is none (a SyntaxError's is its text)
