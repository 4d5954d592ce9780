"""What can go wrong before serving, as one tree.

An error holds facts; its text is the one line that tells an operator what to change.

    ServeError                 exit status 1 unless a subclass says otherwise
    ├── UsageError             2: the command line, the file or the environment is wrong
    │   ├── FileError          the INI file, a section or an option of it
    │   └── EndpointError      an address that cannot be used
    └── ApplicationError       1: the application's own code failed while it was loaded
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ServeError(Exception):
    """An error that ends the command; *exit_status* is what the process returns."""

    exit_status = 1


class UsageError(ServeError):
    """The command line, the file or the environment is wrong: one line, never a traceback."""

    exit_status = 2


class FileError(UsageError):
    """The INI file is wrong; says where as far as it is known: file, section, option, value."""

    def __init__(
        self,
        problem: str,
        *,
        filename: str | None = None,
        section: str | None = None,
        option: str | None = None,
        value: str | None = None,
    ) -> None:
        self.problem = problem
        self.filename = filename
        self.section = section
        self.option = option
        self.value = value
        super().__init__(problem)

    def __str__(self) -> str:
        where = f"{self.filename}: " if self.filename else ""
        if self.section:
            where += f"[{self.section}] "
        if self.option and self.value is not None:
            return f"{where}{self.option} = {self.value!r}: {self.problem}"
        if self.option:
            return f"{where}{self.option}: {self.problem}"
        return where + self.problem


class EndpointError(UsageError):
    """An endpoint that cannot be bound, or a socket that was handed over and cannot be used."""


class ApplicationError(ServeError):
    """The application failed while it was loaded; its ``__cause__`` is the application's exception."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``", did you mean 'x'?"`` for the nearest public name of *known*, or an empty string."""
    matches = get_close_matches(name, [other for other in known if not other.startswith("_")], n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
