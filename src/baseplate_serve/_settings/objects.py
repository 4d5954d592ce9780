"""Objects that the file names: factories and classes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from baseplate_serve.errors import ApplicationError, UsageError, nearest


class NameFault(UsageError):
    """The name in the file leads nowhere."""


def load_object(name: str, *, default: str | None = None) -> Any:
    """The object that *name* stands for: ``module:object``, ``module.object``, or a module's *default*.

    Raises `NameFault` when there is no such module or no such object in it, `ApplicationError` when
    importing the module fails; its cause is the failure.  Switches: perhaps, as the import does.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon and default is not None:
        attribute = default
    elif not colon:
        module_name, _, attribute = name.rpartition(".")
    if not module_name or not attribute:
        raise NameFault(f"expected {'module or ' if default else ''}module:name")
    found = _import(module_name)
    walked = module_name
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise NameFault(f"there is no {part!r} in {walked}{nearest(part, dir(found))}") from None
        walked = f"{walked}.{part}"
    return found


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == module_name or module_name.startswith(missing + "."):
            raise NameFault(f"there is no module {missing!r}{_near_module(module_name, missing)}") from None
        raise ApplicationError(f"{module_name} could not be imported") from error
    except (TypeError, ValueError) as error:
        if module_name.startswith(".") or ".." in module_name:  # '.app:make': a relative name, of nothing
            raise NameFault(f"{module_name!r} is no module's name") from None
        raise ApplicationError(f"{module_name} could not be imported") from error
    except Exception as error:
        raise ApplicationError(f"{module_name} could not be imported") from error


def _near_module(module_name: str, missing: str) -> str:
    """A hint towards a module that is there: a sibling in the same package."""
    parent, _, _ = missing.rpartition(".")
    if parent in sys.modules and (paths := getattr(sys.modules[parent], "__path__", None)):
        import pkgutil  # noqa: PLC0415 (only to explain a mistake)

        siblings = [f"{parent}.{found.name}" for found in pkgutil.iter_modules(paths)]
        return nearest(missing, siblings)
    return " (the current directory is searched, too)" if "." not in module_name else ""
