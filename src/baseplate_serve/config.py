# ruff: noqa: N802  # a spec reads as a list of types, {"port": Integer}: these names are the public API
"""Typed configuration out of an INI section: what services know as ``baseplate.lib.config``.

    cfg = parse_config(app_config, {
        "port": Integer,
        "timeout": Optional(Timespan, default=timedelta(seconds=1)),
        "noodles": {"blah": TupleOf(String)},           # noodles.blah = one, two, three
        "population": DictOf(Integer),                  # population.cn = 1383890000, population.fr = …
    })
    cfg.port, cfg.timeout, cfg.noodles.blah, cfg.population["cn"]

A spec is a dict of key -> spec, a `Parser`, or any callable that takes the option's text. An option
that is absent has the text ``""``; `Optional` and `DefaultFromEnv` give it a default. A callable that
does not like its text raises ValueError, and says what it expected. All faults of a section are
reported together.
"""

from __future__ import annotations

import base64
import grp
import os
import pwd
import socket
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from enum import Enum
from functools import partial
from ipaddress import IPv6Address
from typing import IO, Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar, overload

__all__ = [
    "Base64",
    "Boolean",
    "CallableParser",
    "ConfigNamespace",
    "ConfigSpec",
    "ConfigSpecItem",
    "ConfigurationError",
    "DefaultFromEnv",
    "DictOf",
    "Endpoint",
    "EndpointConfiguration",
    "Fallback",
    "File",
    "Float",
    "InfiniteTimespan",
    "InfiniteTimespanType",
    "Integer",
    "InternetAddress",
    "OneOf",
    "Optional",
    "Parser",
    "Percent",
    "RawConfig",
    "SpecParser",
    "String",
    "Timespan",
    "TimespanOrInfinite",
    "TimespanWithLegacyFallback",
    "TupleOf",
    "UnixGroup",
    "UnixUser",
    "parse_config",
]

T = TypeVar("T")
U = TypeVar("U")


class ConfigurationError(Exception):
    """One option that does not fit its spec, or several of one section.

    *key* is the option's dotted path and *error* what its parser raised; where there are several
    faults, those of the first. The text has a line for each fault.
    """

    def __init__(self, key: str, error: str | Exception) -> None:
        super().__init__(key, error)
        self.key = key
        self.error = error
        self._faults: tuple[ConfigurationError, ...] = ()  # empty: this is a single fault

    @classmethod
    def _of(cls, faults: Sequence[ConfigurationError]) -> ConfigurationError:
        first = faults[0]
        if len(faults) == 1:
            return first
        together = cls(first.key, first.error)
        together._faults = tuple(faults)
        together.__cause__ = first.__cause__
        return together

    @property
    def errors(self) -> tuple[ConfigurationError, ...]:
        """Every fault by itself, in the order of the spec; never empty."""
        return self._faults or (self,)

    def __str__(self) -> str:
        if self._faults:
            return "\n".join(map(str, self._faults))
        return f"{self.key}: {self.error}"


# --- one value -------------------------------------------------------------------------------------------


def String(text: str) -> str:
    """The text itself. Raises ValueError when there is none."""
    if not text:
        raise ValueError("no value specified")
    return text


def Float(text: str) -> float:
    """A float, in all the spellings of Python's own. Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, not {text!r}") from None


@overload
def Integer(text: str, base: int = 10) -> int: ...
@overload
def Integer(text: None = None, base: int = 10) -> Callable[[str], int]: ...
def Integer(text: str | None = None, base: int = 10) -> int | Callable[[str], int]:
    """An int; without *text*, as in ``Integer(base=16)``, a parser for that base. Raises ValueError."""
    if text is None:
        return partial(Integer, base=base)
    try:
        return int(text, base)
    except ValueError:
        in_base = "" if base == 10 else f" in base {base}"
        raise ValueError(f"expected an integer{in_base}, not {text!r}") from None


def Boolean(text: str) -> bool:
    """``true`` or ``false``, in upper or lower case. Raises ValueError."""
    return OneOf(true=True, false=False)(text.lower())


def Percent(text: str) -> float:
    """A float from 0.0 to 1.0, written ``37.5%``. Raises ValueError."""
    try:
        fraction = float(text.removesuffix("%")) / 100
    except ValueError:
        fraction = None
    if fraction is None or not text.endswith("%"):
        raise ValueError("expected a percentage such as '37.5%'")
    if not 0 <= fraction <= 1:
        raise ValueError("expected a percentage from 0% to 100%")
    return fraction


def Base64(text: str) -> bytes:
    """The bytes that *text* encodes; white space in it is skipped. Raises ValueError.

    Characters outside the standard alphabet are an error, never dropped: a secret in the URL-safe
    alphabet would otherwise become a different secret. No message repeats the text, for it may be one.
    """
    if not text:
        raise ValueError("expected base64 data")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as exc:
        raise ValueError(f"expected base64 data: {exc}") from exc


def File(mode: str = "r") -> Callable[[str], IO[Any]]:
    """A parser for a path, which returns the file opened in *mode*, as UTF-8 unless *mode* is binary.

    The parser raises ValueError when the file cannot be opened. Resource handling: the file is the
    caller's to close.
    """

    def open_file(text: str) -> IO[Any]:
        try:
            # Path.open would make the file's name a Path, and of '' the current directory.
            return open(text, mode, encoding=None if "b" in mode else "UTF-8")
        except OSError as exc:
            raise ValueError(f"could not open file {text!r}: {exc.strerror}") from exc

    return open_file


def UnixUser(text: str) -> int:
    """The id of a user, from its name or its decimal id. Raises ValueError."""
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        return _decimal_id(text, "user")


def UnixGroup(text: str) -> int:
    """The id of a group, from its name or its decimal id. Raises ValueError."""
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        return _decimal_id(text, "group")


def _decimal_id(text: str, kind: str) -> int:
    try:
        return int(text)  # need not exist here: containers run as ids that have no name
    except ValueError:
        raise ValueError(
            f"expected the name or the id of a {kind}, and there is no {kind} {text!r}"
        ) from None


# --- durations -------------------------------------------------------------------------------------------

_A_DURATION = "expected a duration such as '30 seconds'"
_UNITS = ("millisecond", "second", "minute", "hour", "day")


def Timespan(text: str) -> timedelta:
    """A timedelta, written as a whole number and a unit: ``1 second``, ``100 milliseconds``, ``3 days``.

    Units: milliseconds, seconds, minutes, hours, days. Raises ValueError.
    """
    try:
        count, unit = text.split()
        number = int(count)
    except ValueError:
        raise ValueError(_A_DURATION) from None
    unit = unit.removesuffix("s")
    if unit not in _UNITS:
        raise ValueError(f"{_A_DURATION}; units are {', '.join(name + 's' for name in _UNITS)}")
    try:
        return timedelta(**{unit + "s": number})
    except OverflowError:
        raise ValueError(f"{_A_DURATION}; this one is too long") from None


def TimespanWithLegacyFallback(text: str) -> timedelta:
    """A timedelta, from a `Timespan` or a bare number of seconds such as ``0.5``. Raises ValueError."""
    try:
        return Timespan(text)
    except ValueError:
        pass
    try:
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError):  # 'nan' is a float, and so is 'inf': neither is a duration
        raise ValueError(f"{_A_DURATION}, or a number of seconds") from None


class InfiniteTimespanType(Enum):
    """The type of `InfiniteTimespan`; an enum, so that ``is`` still holds after a copy or a pickle."""

    INFINITE = "infinite"


InfiniteTimespan: Final = InfiniteTimespanType.INFINITE


def TimespanOrInfinite(text: str) -> timedelta | Literal[InfiniteTimespanType.INFINITE]:
    """A `Timespan`, or `InfiniteTimespan` for the text ``infinite``. Raises ValueError."""
    if text == "infinite":
        return InfiniteTimespan
    try:
        return Timespan(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, or 'infinite'") from None


# --- addresses -------------------------------------------------------------------------------------------


class InternetAddress(NamedTuple):
    """A host and a port, as `socket` takes them."""

    host: str  # a name or an address, without brackets; empty for every interface
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class EndpointConfiguration(NamedTuple):
    """Where to connect to, or where to listen."""

    family: socket.AddressFamily  # AF_INET, AF_INET6 or AF_UNIX
    address: InternetAddress | str  # a str is the path of a unix socket

    def __str__(self) -> str:
        return str(self.address)


def Endpoint(text: str) -> EndpointConfiguration:
    """An `EndpointConfiguration`, from ``host:port``, ``[::1]:port``, or a path that has a slash.

    Raises ValueError. Resolves no names and looks at no file.
    """
    if not text:
        raise ValueError("no endpoint specified: expected host:port, [::1]:port, or a path with a slash")
    if "/" in text:
        return EndpointConfiguration(socket.AF_UNIX, text)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        nothing, colon, port = rest.partition(":")
        if nothing or not colon:
            raise ValueError("expected [host]:port, with the port after the brackets")
        IPv6Address(host)  # raises ValueError, which says what is wrong with it
        return EndpointConfiguration(socket.AF_INET6, InternetAddress(host, _port(port)))
    host, colon, port = text.partition(":")
    if not colon:
        raise ValueError("no port specified: expected host:port, or a path with a slash")
    if ":" in port:
        raise ValueError("more than one colon: an IPv6 address goes in brackets, as in [::1]:9090")
    return EndpointConfiguration(socket.AF_INET, InternetAddress(host, _port(port)))


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise ValueError(f"expected a port from 0 to 65535, not {text!r}")
    return port


# --- parsers made of parsers -----------------------------------------------------------------------------


def OneOf(**options: T) -> Callable[[str], T]:
    """A parser that turns the name of an option into its value: ``OneOf(hearts="H", spades="S")``.

    The parser raises ValueError for any other text.
    """

    def one_of(text: str) -> T:
        if text not in options:
            raise ValueError(f"expected one of {', '.join(map(repr, options))}")
        return options[text]

    return one_of


def TupleOf(item_parser: Callable[[str], T]) -> Callable[[str], Sequence[T]]:
    """A parser for comma-separated items, which returns a list; empty items are skipped.

    The parser raises ValueError for an empty text (wrap it in `Optional` to allow that), or when
    *item_parser* does.
    """

    def tuple_of(text: str) -> Sequence[T]:
        if not text:
            raise ValueError("no values provided")
        parsed = []
        for position, item in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
            try:
                parsed.append(item_parser(item))
            except ValueError as exc:
                raise ValueError(f"item {position}: {exc}") from exc
        return parsed

    return tuple_of


@overload
def Optional(item_parser: Callable[[str], T], default: None = None) -> Callable[[str], T | None]: ...
@overload
def Optional(item_parser: Callable[[str], T], default: U) -> Callable[[str], T | U]: ...
def Optional(item_parser: Callable[[str], Any], default: Any = None) -> Callable[[str], Any]:
    """A parser that returns *default*, as it is, for an absent or empty option."""
    return lambda text: item_parser(text) if text else default


def DefaultFromEnv(
    item_parser: Callable[[str], T], default_src: str, fallback: T | None = None
) -> Callable[[str], T]:
    """A parser that takes an absent option from the environment variable *default_src*, else *fallback*.

    The variable is read now, and parsed only if it is needed. The parser raises ValueError when all
    three are absent, or when *item_parser* does.
    """
    from_env = os.environ.get(default_src, "")

    def default_from_env(text: str) -> T:
        if text:
            return item_parser(text)
        if from_env:
            try:
                return item_parser(from_env)
            except ValueError as exc:
                raise ValueError(f"environment variable {default_src}: {exc}") from exc
        if fallback is None:
            raise ValueError(f"no value provided, here or in the environment variable {default_src}")
        return fallback

    return default_from_env


def Fallback(
    primary_parser: Callable[[str], T], fallback_parser: Callable[[str], U]
) -> Callable[[str], T | U]:
    """A parser that tries *primary_parser*, and *fallback_parser* when that raises ValueError."""

    def fallback(text: str) -> T | U:
        try:
            return primary_parser(text)
        except ValueError:
            return fallback_parser(text)

    return fallback


# --- sections --------------------------------------------------------------------------------------------


class ConfigNamespace(dict[str, Any]):
    """A dict whose items are attributes too; an attribute that is no item is None, as in Baseplate."""

    def __init__(self) -> None:
        super().__init__()
        # One dict for both: an option named 'items' or 'values' must win over the method of that name.
        self.__dict__ = self

    def __getattr__(self, name: str) -> Any:
        # Services rely on None for what their spec does not name. copy and pickle probe for dunders.
        if name.startswith("__"):
            raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy or a pickle is built item by item, so that its attributes are its items again.
        return type(self), (), None, None, iter(dict.items(self))


class Parser(Generic[T]):
    """What reads more than one option, or none. Subclass it to write another."""

    @staticmethod
    def from_spec(spec: ConfigSpecItem[Any]) -> Parser[Any]:
        """The parser that *spec* describes. Raises AssertionError when it is no spec."""
        if isinstance(spec, Parser):
            return spec
        if isinstance(spec, dict):
            return SpecParser(spec)
        if callable(spec):
            return CallableParser(spec)
        raise AssertionError(f"expected a parser, a dict or a callable as a spec, not {spec!r}")

    def parse(self, key_path: str, raw_config: RawConfig) -> T:
        """The value at *key_path*, a dotted path, of the whole section. Raises ConfigurationError."""
        raise NotImplementedError


RawConfig: TypeAlias = dict[str, str]
ConfigSpecItem: TypeAlias = Parser[Any] | dict[str, Any] | Callable[[str], T]
ConfigSpec: TypeAlias = dict[str, ConfigSpecItem[Any]]


class CallableParser(Parser[T]):
    """One option, handed to a callable."""

    def __init__(self, callable_: Callable[[str], T]) -> None:
        self.callable = callable_

    def parse(self, key_path: str, raw_config: RawConfig) -> T:
        try:
            return self.callable(raw_config.get(key_path, ""))
        except (
            Exception
        ) as exc:  # applications' own callables raise whatever they like; all of it is reported
            raise ConfigurationError(key_path, exc) from exc


class SpecParser(Parser[ConfigNamespace]):
    """The keys that a dict names, each with its own spec."""

    def __init__(self, spec: ConfigSpec) -> None:
        self.spec = spec

    def parse(self, key_path: str, raw_config: RawConfig) -> ConfigNamespace:
        for key in self.spec:
            if "." in key:
                raise AssertionError(f"a spec's keys have no dots, nest dicts instead: {key!r}")
        return _parse_each(
            ((key, Parser.from_spec(spec)) for key, spec in self.spec.items()), key_path, raw_config
        )


class DictOf(Parser[ConfigNamespace]):
    """Whatever keys the section has below this one, all of the same *spec*; none is fine.

    ``DictOf(Integer)`` reads ``key.a = 1``; ``DictOf({"size": Integer})`` reads ``key.a.size = 1``.
    """

    def __init__(self, spec: ConfigSpecItem[Any]) -> None:
        self.subparser = Parser.from_spec(spec)

    def parse(self, key_path: str, raw_config: RawConfig) -> ConfigNamespace:
        prefix = _below(key_path)
        names = (key.removeprefix(prefix).partition(".")[0] for key in raw_config if key.startswith(prefix))
        found = dict.fromkeys(filter(None, names))  # in the section's order, once each
        return _parse_each(((name, self.subparser) for name in found), key_path, raw_config)


def _below(key_path: str) -> str:
    return f"{key_path}." if key_path else ""


def _parse_each(
    parsers: Iterable[tuple[str, Parser[Any]]], key_path: str, raw_config: RawConfig
) -> ConfigNamespace:
    parsed = ConfigNamespace()
    faults: list[ConfigurationError] = []
    for name, parser in parsers:
        try:
            parsed[name] = parser.parse(_below(key_path) + name, raw_config)
        except ConfigurationError as exc:
            faults.extend(exc.errors)
    if faults:
        raise ConfigurationError._of(faults)  # noqa: SLF001  # same module; its signature is Baseplate's
    return parsed


def parse_config(config: RawConfig, spec: ConfigSpec | Parser[ConfigNamespace]) -> ConfigNamespace:
    """The options of *config* that *spec* names, parsed, nested as *spec* is.

    Raises ConfigurationError, with every fault of the section in its ``errors``; AssertionError when
    *spec* itself is wrong.
    """
    namespace: ConfigNamespace = Parser.from_spec(spec).parse("", config)
    return namespace
