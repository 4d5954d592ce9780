"""Loads what the file names: the application and the server around it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from baseplate_serve import config
from baseplate_serve._drop_in import observers
from baseplate_serve._settings.objects import NameFault, load_object
from baseplate_serve.errors import ApplicationError, FileError, ServeError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from baseplate_serve._settings.ini import IniFile


def load_app_factory(file: IniFile) -> Callable[[dict[str, str]], Any]:
    """The callable that the app section names.  Raises `FileError`, `ApplicationError`."""
    return _load_factory(file, file.app_section, file.app["factory"], "make_app")


def load_server_factory(file: IniFile) -> Callable[[dict[str, str], Any, Any], Any]:
    """The callable that the server section names.  Raises `FileError`, `ApplicationError`."""
    return _load_factory(file, file.server_section, file.server["factory"], "make_server")


def _load_factory(file: IniFile, section: str, name: str, default: str) -> Callable[..., Any]:
    try:
        factory = load_object(name, default=default)
    except NameFault as fault:
        raise FileError(
            str(fault), filename=file.filename, section=section, option="factory", value=name
        ) from None
    if not callable(factory):
        raise FileError(
            f"is {factory!r}, which cannot be called",
            filename=file.filename,
            section=section,
            option="factory",
            value=name,
        )
    return factory  # type: ignore[no-any-return]


def make_app(file: IniFile, factory: Callable[[dict[str, str]], Any]) -> Any:
    """What *factory* makes of the app section.

    Raises `FileError` when it refuses the section's values, `ApplicationError` for any other failure.
    """
    try:
        observers.start_tracing()
        return factory(dict(file.app))
    except Exception as error:
        if _is_configuration_error(error):
            problems = "; ".join(map(str, getattr(error, "errors", (error,))))
            raise FileError(problems, filename=file.filename, section=file.app_section) from error
        raise ApplicationError(f"the application factory {file.app['factory']} failed") from error


def _is_configuration_error(error: Exception) -> bool:
    """True for ours and for the installed baseplate package's, which is another class of the same name."""
    if isinstance(error, config.ConfigurationError):
        return True
    return (type(error).__module__, type(error).__name__) == ("baseplate.lib.config", "ConfigurationError")


def make_server(
    file: IniFile, factory: Callable[[dict[str, str], Any, Any], Any], listener: socket.socket, app: Any
) -> Any:
    """What *factory* makes of the server section.  Raises `FileError`, `ApplicationError`."""
    try:
        with placed(file):
            return factory(dict(file.server), listener, app)
    except ServeError:
        raise
    except Exception as error:
        if _is_configuration_error(error):
            raise FileError(str(error), filename=file.filename, section=file.server_section) from error
        raise ApplicationError(f"the server factory {file.server['factory']} failed") from error


@contextmanager
def placed(file: IniFile) -> Iterator[None]:
    """Say where in *file* a `FileError` belongs that was raised by somebody who saw only a dict."""
    try:
        yield
    except FileError as error:
        raise FileError(
            error.problem,
            filename=file.filename,
            section=file.server_section,
            option=error.option,
            value=error.value,
        ) from error
