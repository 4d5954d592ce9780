"""Writes the pages that are made from the code.  ``python docs/generate.py`` writes, ``--check`` compares."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent

HEAD = """\
# Options of the server section

<!-- Written by docs/generate.py from src/baseplate_serve/_settings/options.py: change it there. -->

```ini
[server:main]
factory = baseplate_serve.thrift
stop_timeout = 30
drain_time = 5 seconds

[app:main]
factory = my_app.processor:make_processor
```

Every option is read before anything is bound, and all faults are reported together, one line each, with
exit status 2. An option that the server does not know is a fault, too. `$NAME` and `${NAME}` in a value are
taken from the environment; a name that is not set stays as it is written. A comment needs a line of its own.

`factory` is required in both sections: a module (its `make_server` or `make_app` is called), or
`module:callable`. `baseplate_serve.thrift` and `baseplate_serve.wsgi` are ours, and `baseplate.server.thrift`
and `baseplate.server.wsgi` name the same two.

A duration is written `500 milliseconds`, `30 seconds`, `5 minutes`, `1 hour` or `2 days`; a bare number is
seconds.
"""


def options_page() -> str:
    """The text of docs/options.md."""
    from baseplate_serve._settings.declare import BOTH  # noqa: PLC0415 (after the path is set)
    from baseplate_serve._settings.options import OPTIONS  # noqa: PLC0415 (likewise)

    parts = [HEAD]
    for option in OPTIONS.values():
        servers = "" if option.servers == BOTH else f" ({option.servers[0]} only)"
        parts.append(
            f"\n## `{option.name}`{servers}\n\n{option.sentence}\n\n"
            f"* Value: {option.kind}.\n* Absent: {option.absent}.\n"
        )
    return "".join(parts)


METRICS_HEAD = """\
# Metrics

<!-- Written by docs/generate.py from src/baseplate_serve/_metrics/declared.py: change it there. -->

`/metrics` on port 6060 (`metrics.endpoint`) shows these besides what the application registers with
`prometheus_client` itself. Gauges carry `hostname` and `PID` and vanish with their process; counters and
histograms carry neither, and go on in the worker that takes over the files
([why](decisions/009-no-pid-on-counters.md)).

Monitors of Baseplate's that are on also report to the metrics client that an application registered with
`configure_observers()`, every ten seconds, aligned to the clock, as `<namespace>.runtime.…` with the tags
`hostname` and `PID`: `open_connections`, `active_requests`, `hub_blocked`, `gc.collections`, `gc.collected`,
`gc.uncollectable`, `gc.elapsed`, of pools that `watch_pool` was told of `pool.in_use` and `pool.size` with
the tag `client`, and what the application's own clients report.

| name | type | labels | unit |
|---|---|---|---|
"""


def metrics_page() -> str:
    """The text of docs/metrics.md."""
    from baseplate_serve._metrics.declared import METRICS  # noqa: PLC0415 (as above)

    rows = []
    parts = []
    for metric in METRICS:
        name = metric.shown_as
        labels = ", ".join(f"`{label}`" for label in metric.all_labels)
        rows.append(f"| [`{name}`](#{name}) | {metric.kind} | {labels} | {metric.unit} |\n")
        parts.append(f"\n## `{name}`\n\n{metric.says}\n\n* Question: {metric.answers}\n")
        if metric.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
            parts.append(f"* Buckets: up to {bounds} {metric.unit}, and above.\n")
    return "".join([METRICS_HEAD, *rows, *parts])


PAGES = {"options.md": options_page, "metrics.md": metrics_page}


def main() -> int:
    """Write the pages, or say which are stale; returns the exit status."""
    stale = 0
    for name, page in PAGES.items():
        file, text = DOCS / name, page()
        if "--check" not in sys.argv:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"docs/{name} is stale: run make docs")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent / "src"))
    sys.exit(main())
