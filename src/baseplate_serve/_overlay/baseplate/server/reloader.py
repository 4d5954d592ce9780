"""``baseplate.server.reloader``; the command's own --reload keeps the port bound, this one cannot."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import gevent

from baseplate_serve._command.watch import Watch, loaded_files

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["start_reload_watcher"]

log = logging.getLogger("baseplate_serve")


def start_reload_watcher(extra_files: Sequence[str]) -> None:
    """Start this process anew, in its place, when a module it has loaded or one of *extra_files* changes."""
    watch = Watch(extra_files)
    gevent.get_hub().threadpool.spawn(_restart_on_change, watch)


def _restart_on_change(watch: Watch) -> NoReturn:
    while not (changed := watch.wait()):
        watch.learn(loaded_files())
    log.info("%s changed, restarting", ", ".join(sorted(changed)))
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 (no shell: the very command that started us)
