"""How an option is declared: its name, how it is written, and what there is to say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from baseplate_serve import config
from baseplate_serve._settings.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = ("thrift", "wsgi")


@dataclass(frozen=True)
class Option:
    """How one option is written in the file and read from it."""

    name: str
    kind: str  # what is expected, as errors and the documentation say it
    parse: Callable[[str], Any]  # raises ValueError
    absent: str  # what its absence means
    sentence: str
    servers: tuple[str, ...] = BOTH


@dataclass(frozen=True)
class Kind:
    expected: str
    parse: Callable[[str], Any]


def _duration(text: str) -> timedelta:
    span = config.TimespanWithLegacyFallback(text)
    if span < timedelta(0):
        raise ValueError("negative")
    return span


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError("not positive")
    return count


def _prefix(text: str) -> str:
    if not text.startswith("/") or text.endswith("/"):
        raise ValueError("no prefix of a path")
    return text


DURATION = Kind("a duration such as '30 seconds', or a number of seconds, 0 or more", _duration)
COUNT = Kind("a whole number, 1 or more", _count)
SWITCH = Kind("true or false", config.Boolean)
ENDPOINT = Kind("host:port, [::1]:port or the path of a unix socket", config.Endpoint)
CLASS = Kind("module:Class or module.Class", config.String)
FILE = Kind("the path of a file", config.String)
NETWORKS = Kind("addresses or networks with commas between, '10.0.0.0/8, ::1', and 'unix'", Networks)
FORWARDED = Kind(
    "x-forwarded-for or forwarded",
    config.OneOf(**{name: name for name in ("x-forwarded-for", "forwarded")}),
)
PREFIX = Kind("a path such as '/api', with a slash before it and none behind", _prefix)
DIRECTORY = Kind("the path of a directory", config.String)


def option(  # noqa: PLR0913 (what there is to say of an option)
    name: str, kind: Kind, default: Any, *, absent: str, says: str, only: str | None = None
) -> Any:
    """A field of `ServerSettings` that is read from the option *name*."""
    declared = Option(name, kind.expected, kind.parse, absent, says, (only,) if only else BOTH)
    return field(default=default, metadata={"option": declared})
