"""``monitoring.gc.refcycle``: draws what only the garbage collector could free."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import subprocess
from io import StringIO
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import gevent

from baseplate_serve._monitors.monitor import Monitor, Unavailable

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics

log = logging.getLogger("baseplate_serve.monitoring")

EVERY_S = 10.0
DRAWN_MAX = 20  # objects in one graph: hundreds of them are no picture, and take `dot` minutes
DRAW_S = 10.0


class RefCycleMonitor(Monitor):
    """Switches automatic collection off, collects every ten seconds, draws what was found into *directory*.

    For debugging: what the application leaves in cycles stays for ten seconds, and looking for who holds it
    stops everything.
    """

    option = "monitoring.gc.refcycle"
    logs = True

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._next_at = monotonic() + EVERY_S
        self._was_enabled = gc.isenabled()  # it may be off for a reason of the application's
        self._looking: gevent.Greenlet[..., Any] | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        if not os.path.isdir(self._directory) or not os.access(self._directory, os.W_OK):
            raise Unavailable(
                f"monitoring.gc.refcycle is off: {self._directory!r} is no writable directory; make it"
            )
        if shutil.which("dot") is None:
            raise Unavailable("monitoring.gc.refcycle is off: there is no program dot; install graphviz")
        log.warning("automatic garbage collection is off, to watch for reference cycles")
        self._was_enabled = gc.isenabled()
        gc.disable()

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.kill(block=False)
        self.leave_to_parent()

    def leave_to_parent(self) -> None:
        """`dot` is the parent's: killed here, the greenlet would kill it."""
        if self._was_enabled:
            gc.enable()

    def collect(self, metrics: RuntimeMetrics) -> None:
        """Raises: OSError, subprocess.SubprocessError; what the last look did."""
        del metrics
        if self._failure is not None:
            raise self._failure
        if monotonic() >= self._next_at and not self._looking:
            self._next_at = monotonic() + EVERY_S
            self._looking = gevent.spawn(self._look)  # `dot` may take long: other monitors go on

    def _look(self) -> None:
        try:
            self.look()
        except (OSError, subprocess.SubprocessError) as error:
            self._failure = error

    def look(self) -> str | None:
        """Collect now; the file that was drawn, if there was anything.  Switches: yes, while it is drawn.

        Raises: OSError, subprocess.SubprocessError.
        """
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        count = len(gc.garbage)
        if not count:
            return None
        graph = _graph(gc.garbage)
        gc.garbage.clear()
        gc.collect()  # nobody has them any more: this frees them
        file = os.path.join(self._directory, f"backrefs-{int(time())}.png")
        draw = ["dot", "-Tpng", "-o", file]
        subprocess.run(draw, input=graph.encode(), check=True, timeout=DRAW_S)  # noqa: S603 (all of it is ours)
        log.warning("freed by garbage collection alone: %d objects; see %s", count, file)
        return file


def _graph(garbage: list[Any]) -> str:
    """In the language of dot: who holds the first of *garbage*."""
    import objgraph  # noqa: PLC0415 (a debugger's: nobody else pays for it)

    graph = StringIO()
    first = garbage[:DRAWN_MAX]
    objgraph.show_backrefs(first, output=graph, max_depth=5, extra_ignore=[id(garbage), id(first)])
    return graph.getvalue()
