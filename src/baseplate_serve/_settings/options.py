# ruff: noqa: RUF009 (a field is declared by a call: that is the idea of this file)
"""Every option of the server section, declared once.

The command parses them all before anything is bound; `docs/options.md` is written from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from baseplate_serve import config
from baseplate_serve.errors import FileError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from baseplate_serve._settings.ini import IniFile

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


DURATION = Kind("a duration such as '30 seconds', or a number of seconds, 0 or more", _duration)
COUNT = Kind("a whole number, 1 or more", _count)
SWITCH = Kind("true or false", config.Boolean)
ENDPOINT = Kind("host:port, [::1]:port or the path of a unix socket", config.Endpoint)
CLASS = Kind("module:Class or module.Class", config.String)
DIRECTORY = Kind("the path of a directory", config.String)


def option(  # noqa: PLR0913 (what there is to say of an option)
    name: str, kind: Kind, default: Any, *, absent: str, says: str, only: str | None = None
) -> Any:
    """A field of `ServerSettings` that is read from the option *name*."""
    declared = Option(name, kind.expected, kind.parse, absent, says, (only,) if only else BOTH)
    return field(default=default, metadata={"option": declared})


@dataclass(frozen=True)
class ServerSettings:
    """The server section, parsed.  Times are timedeltas, sizes are bytes."""

    stop_timeout: timedelta = option(
        "stop_timeout",
        DURATION,
        timedelta(0),
        absent="stop at once",
        says="How long requests in flight may take to finish once the listener is closed. "
        "What is left after it is cut off, logged and counted.",
    )
    drain_time: timedelta = option(
        "drain_time",
        DURATION,
        timedelta(0),
        absent="no drain",
        says="How long to go on accepting after a stop is asked for, with readiness failing, so that "
        "load balancers and clients notice us leaving.",
    )
    max_concurrency: int | None = option(
        "max_concurrency",
        COUNT,
        None,
        absent="no limit",
        says="How many connections are accepted at a time; the others wait in the listener's queue.",
    )
    handler: str | None = option(
        "handler",
        CLASS,
        None,
        absent="the server's own",
        says="A subclass of `gevent.pywsgi.WSGIHandler` that handles the connections.",
        only="wsgi",
    )
    max_frame_size: int = option(
        "max_frame_size",
        COUNT,
        100 * 1024 * 1024,
        absent="104857600 (100 MiB)",
        says="The longest Thrift message that is read, in bytes, however it is framed and after it is "
        "decompressed. A client that announces a longer one is disconnected. What is compressed may become a "
        "hundred times as long, or 1 MiB.",
        only="thrift",
    )
    max_head_size: int = option(
        "max_head_size",
        COUNT,
        64 * 1024,
        absent="65536 (64 KiB)",
        says="The longest head of an HTTP request that is read, in bytes: the request line and all headers. "
        "A longer one is answered with 431. Of no effect with a `handler`, nor on ASGI applications.",
        only="wsgi",
    )
    max_headers: int = option(
        "max_headers",
        COUNT,
        100,
        absent="100",
        says="How many headers an HTTP request may have; more are answered with 431. "
        "Of no effect with a `handler`, nor on ASGI applications.",
        only="wsgi",
    )
    max_body_size: int | None = option(
        "max_body_size",
        COUNT,
        None,
        absent="no limit",
        says="The longest body of an HTTP request that is read, in bytes; a longer one is answered with 413. "
        "Of no effect with a `handler`, nor on ASGI applications.",
        only="wsgi",
    )
    metrics_enabled: bool = option(
        "metrics.enabled",
        SWITCH,
        True,
        absent="true",
        says="Whether Prometheus metrics are exported. May stand in the app section, too.",
    )
    metrics_endpoint: config.EndpointConfiguration = option(
        "metrics.endpoint",
        ENDPOINT,
        config.Endpoint("0.0.0.0:6060"),
        absent="0.0.0.0:6060",
        says="Where `/metrics` is served. In the app section the same name means something else: "
        "where Baseplate's metrics client sends to.",
    )
    blocked_hub: timedelta | None = option(
        "monitoring.blocked_hub",
        DURATION,
        None,
        absent="off",
        says="Report who kept the hub for longer than this, and log the stack.",
    )
    concurrency: bool = option(
        "monitoring.concurrency",
        SWITCH,
        True,
        absent="true",
        says="Report open connections and active requests.",
    )
    connection_pool: bool = option(
        "monitoring.connection_pool",
        SWITCH,
        False,
        absent="false",
        says="Report the use of connection pools: those that `baseplate_serve.monitoring.watch_pool` was "
        "told of, and those of Baseplate's clients.",
    )
    gc_stats: bool = option(
        "monitoring.gc.stats",
        SWITCH,
        True,
        absent="true",
        says="Report the garbage collector's statistics.",
    )
    gc_timing: bool = option(
        "monitoring.gc.timing",
        SWITCH,
        False,
        absent="false",
        says="Report how long each garbage collection took.",
    )
    gc_refcycle: str | None = option(
        "monitoring.gc.refcycle",
        DIRECTORY,
        None,
        absent="off",
        says="Draw reference cycles into this directory, with graphviz. For debugging only: it replaces "
        "automatic garbage collection.",
    )


OPTIONS: dict[str, Option] = {f.metadata["option"].name: f.metadata["option"] for f in fields(ServerSettings)}
_FIELD_OF = {f.metadata["option"].name: f.name for f in fields(ServerSettings)}
# Baseplate reads it from the app section.  Not metrics.endpoint, which is its statsd client's there.
OF_BOTH_SECTIONS = ("metrics.enabled",)


OWN_FACTORIES = {
    "baseplate.server.thrift": "thrift",
    "baseplate.server.wsgi": "wsgi",
    "baseplate_serve.thrift": "thrift",
    "baseplate_serve.wsgi": "wsgi",
}


class SectionErrors(UsageError):
    """All faults of a file's sections, one a line."""

    def __init__(self, errors: list[FileError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, errors)))


def own_server(factory: str) -> str | None:
    """``thrift`` or ``wsgi`` if *factory* names one of our servers, else None."""
    module, _, name = factory.partition(":")
    return OWN_FACTORIES.get(module) if name in ("", "make_server") else None


def read_settings(file: IniFile) -> ServerSettings:
    """All options of *file*'s server section, and those of the app section that are meant for us.

    Raises `SectionErrors` with every fault there is.  Unknown options are faults only of our own
    servers: another factory knows its own.
    """
    values, errors = _parse(file.server, OPTIONS, file.filename, file.server_section)
    in_app, in_app_errors = _parse(file.app, OF_BOTH_SECTIONS, file.filename, file.app_section)
    errors += in_app_errors
    if server := own_server(file.server["factory"]):
        errors += _unknown_options(file, server)
    if errors:
        raise SectionErrors(errors)
    return ServerSettings(**{**in_app, **values})


def parse_settings(section: Mapping[str, str]) -> ServerSettings:
    """The options of *section* that are ours; others are left to whoever knows them.

    This is what a server factory sees: a dict, no file.  Raises `SectionErrors`.
    """
    values, errors = _parse(section, OPTIONS, None, None)
    if errors:
        raise SectionErrors(errors)
    return ServerSettings(**values)


def _parse(
    section: Mapping[str, str], names: Iterable[str], filename: str | None, section_name: str | None
) -> tuple[dict[str, Any], list[FileError]]:
    """The values by field name, and what is wrong.  An empty value counts as absent."""
    values = {}
    errors = []
    for name in names:
        declared, text = OPTIONS[name], section.get(name, "")
        if not text:
            continue
        try:
            values[_FIELD_OF[name]] = declared.parse(text)
        except ValueError:
            problem = f"expected {declared.kind}{_comment_hint(text)}"
            errors.append(
                FileError(problem, filename=filename, section=section_name, option=name, value=text)
            )
    return values, errors


def _unknown_options(file: IniFile, server: str) -> list[FileError]:
    known = [name for name, declared in OPTIONS.items() if server in declared.servers]
    return [
        FileError(
            _unknown(name, known, server),
            filename=file.filename,
            section=file.server_section,
            option=name,
        )
        for name in file.server
        if name not in known and name != "factory" and name not in file.shared
    ]


def _unknown(name: str, known: list[str], server: str) -> str:
    if name in OPTIONS:
        return f"is no option of the {server} server"
    return f"is no option of the server{nearest(name, known)}"


def _comment_hint(text: str) -> str:
    return " (a comment needs a line of its own)" if " ;" in text or " #" in text else ""
