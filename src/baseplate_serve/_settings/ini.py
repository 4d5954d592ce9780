"""Reads the INI file: which sections are meant, with ``$NAME`` and ``${NAME}`` expanded."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from baseplate_serve.errors import FileError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping


class EnvironmentInterpolation(configparser.Interpolation):
    """Expands ``$NAME`` and ``${NAME}`` from the environment; an unset name stays as it is written."""

    def before_get(
        self,
        parser: MutableMapping[str, Mapping[str, str]],  # noqa: ARG002 (configparser calls it with these)
        section: str,  # noqa: ARG002
        option: str,  # noqa: ARG002
        value: str,
        defaults: Mapping[str, str],  # noqa: ARG002
    ) -> str:
        return os.path.expandvars(value)


@dataclass(frozen=True)
class IniFile:
    """The two sections that were asked for, values expanded, keys in lower case."""

    filename: str
    server_section: str  # 'server:main'
    app_section: str  # 'app:main'
    server: dict[str, str]
    app: dict[str, str]
    shared: frozenset[str]  # keys of [DEFAULT]: every section has them, none of them asked
    has_loggers: bool  # [loggers] stands in the file: the standard library's fileConfig reads it


def read_ini(filename: str, *, server_name: str, app_name: str) -> IniFile:
    """Read *filename*.  Raises `FileError`, which says where and what."""
    # Raw: a value may hold a '%', as percentages do.
    parser = configparser.RawConfigParser(interpolation=EnvironmentInterpolation())
    try:
        with open(filename, encoding="utf-8") as file:
            parser.read_file(file, source=filename)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", filename=filename) from error
    except UnicodeDecodeError as error:
        raise FileError(f"is not UTF-8 at byte {error.start}", filename=filename) from error
    except configparser.Error as error:
        raise FileError(_complaint(error), filename=filename) from error

    server_section, app_section = f"server:{server_name}", f"app:{app_name}"
    return IniFile(
        filename=filename,
        server_section=server_section,
        app_section=app_section,
        server=_section(parser, filename, server_section),
        app=_section(parser, filename, app_section),
        shared=frozenset(parser.defaults()),
        has_loggers=parser.has_section("loggers"),
    )


def _section(parser: configparser.RawConfigParser, filename: str, name: str) -> dict[str, str]:
    if not parser.has_section(name):
        hint = nearest(name, parser.sections()) or _listed(parser.sections())
        raise FileError(f"there is no section [{name}]{hint}", filename=filename)
    section = dict(parser.items(name))
    if not section.get("factory"):
        raise FileError(
            "is missing: expected 'module' or 'module:callable'",
            filename=filename,
            section=name,
            option="factory",
        )
    return section


def _listed(sections: list[str]) -> str:
    return "; there are " + ", ".join(f"[{name}]" for name in sections) if sections else "; there are none"


def _complaint(error: configparser.Error) -> str:
    """What configparser complains of, in one line with its line number."""
    match error:
        case configparser.DuplicateOptionError():
            return f"line {error.lineno}: [{error.section}] has {error.option} twice"
        case configparser.DuplicateSectionError():
            return f"line {error.lineno}: there are two sections [{error.section}]"
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno}: {error.line.strip()!r} stands before any [section]"
        case configparser.ParsingError():
            lines = ", ".join(f"line {number}" for number, _ in error.errors)
            return f"expected 'name = value' or '[section]' at {lines}"
        case _:
            return " ".join(str(error).split())
