"""The options of a file, or of a section, as `ServerSettings`; or everything that is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._settings.options import FIELD_OF, OF_BOTH_SECTIONS, OPTIONS, ServerSettings
from baseplate_serve.errors import FileError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from baseplate_serve._settings.ini import IniFile

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
            values[FIELD_OF[name]] = declared.parse(text)
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
