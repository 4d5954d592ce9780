"""What the monitors cost: a server that has them on, over the same server with all of them off.

Not in here: gc.refcycle, which is for debugging, and the report to Baseplate's metrics client.  Both do
something every ten seconds, which a run of some seconds never sees.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from compare import Plan, Table, compare
from contestant import PYTHON, Contestant
from thrift_calls import CALLS, FRAMINGS
from thrift_load import calls
from wrk import wrk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Load

NO_METRICS = "metrics.enabled = false"
METRICS = "metrics.endpoint = 127.0.0.1:0"
EVERY = f"""{METRICS}
monitoring.blocked_hub = 100 milliseconds
monitoring.concurrency = true
monitoring.connection_pool = true
monitoring.gc.stats = true
monitoring.gc.timing = true
"""
OFF, DEFAULTS = "all off", "defaults"
# Name, options of the server section, and whether metrics are written to a shared directory's files.
# The first is what others are compared with.
MONITORED = (
    (OFF, NO_METRICS, False),
    (DEFAULTS, METRICS, False),
    ("defaults, metrics in a shared directory", METRICS, True),
    ("every monitor for production", EVERY, False),
)
HTTP, THRIFT = "HTTP, hello world", "Thrift, a void call"
SERVICES: dict[str, tuple[str, str, Load]] = {
    HTTP: ("baseplate_serve.wsgi", "servers", wrk()),
    THRIFT: (
        "baseplate_serve.thrift",
        "thrift_apps:make_processor",
        calls(CALLS["a void call"], FRAMINGS["header"], 16),
    ),
    "async Thrift, a void call": (
        "baseplate_serve.thrift",
        "thrift_apps:make_async_processor",
        calls(CALLS["a void call"], FRAMINGS["header"], 16),
    ),
}


def tables(plan: Plan) -> Iterator[Table]:
    """One for each of `SERVICES`."""
    for service, (server, app, load) in SERVICES.items():
        title = title_of(service)
        if plan.wants(title):
            with tempfile.TemporaryDirectory() as folder:
                yield compare(title, list(contestants(Path(folder), server, app, load)), plan)


def title_of(service: str) -> str:
    return f"{service}, with monitors"


def contestants(folder: Path, server: str, app: str, load: Load) -> Iterator[Contestant]:
    """The server under *load*, for each row of `MONITORED`; what they write goes to *folder*."""
    for number, (name, options, shared) in enumerate(MONITORED):
        file = folder / f"{number}.ini"
        section = f"factory = {server}\n{options.format(folder=folder)}"
        file.write_text(f"[server:main]\n{section}\n\n[app:main]\nfactory = {app}\n")
        directory = [f"PROMETHEUS_MULTIPROC_DIR={folder}"] if shared else []
        serve = ["-m", "baseplate_serve", "--bind", "127.0.0.1:{port}", str(file)]
        yield Contestant(name, ["env", *directory, PYTHON, *serve], load)
