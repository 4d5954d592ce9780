"""Lays ``_overlay/baseplate`` over the installed ``baseplate`` package.

``baseplate.server`` is ours; those of its submodules that stand in the overlay are ours; everything else
is the installed package's.  Without one, ``baseplate.server`` and ``baseplate.lib.config`` still import.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

OVERLAY = Path(__file__).parents[1] / "_overlay" / "baseplate"
ORIGINAL = "baseplate.server.original"  # the installed ``baseplate/server/__init__.py``, under another name


class OverlayFinder(MetaPathFinder):
    """Finds ``baseplate.server`` before anybody else: our folder first, the installed one behind it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        if fullname != "baseplate.server":
            return None
        ours = OVERLAY / "server"
        folders = [ours, *(Path(folder) / "server" for folder in path or ())]
        return _package(fullname, [folder for folder in dict.fromkeys(folders) if folder.is_dir()])


class StandInFinder(MetaPathFinder):
    """Finds ``baseplate`` when nobody else does: the package is not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        return _package(fullname, [OVERLAY]) if fullname == "baseplate" else None


def _package(name: str, folders: list[Path]) -> ModuleSpec | None:
    return spec_from_file_location(
        name, folders[0] / "__init__.py", submodule_search_locations=[str(folder) for folder in folders]
    )


def install() -> None:
    """Lay the overlay over ``baseplate`` in this process, once.  Call it before ``baseplate`` is imported."""
    if not any(isinstance(finder, OverlayFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, OverlayFinder())
        sys.meta_path.append(StandInFinder())


def original_server() -> ModuleType:
    """The installed package's own ``baseplate.server`` module, which ours hides.

    Raises `ModuleNotFoundError` if the package is not installed.
    """
    if ORIGINAL in sys.modules:
        return sys.modules[ORIGINAL]
    for folder in import_module("baseplate").__path__:
        file = Path(folder) / "server" / "__init__.py"
        if Path(folder) == OVERLAY or not file.is_file():
            continue
        spec = spec_from_file_location(ORIGINAL, file)
        assert spec is not None  # noqa: S101 (it is a .py file)
        assert spec.loader is not None  # noqa: S101
        module = sys.modules[ORIGINAL] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    raise ModuleNotFoundError("the baseplate package is not installed", name="baseplate")


def real_baseplate_is_loaded() -> bool:
    """True if the application has imported the installed ``baseplate`` package."""
    module = sys.modules.get("baseplate")
    return module is not None and getattr(module, "__file__", None) != str(OVERLAY / "__init__.py")
