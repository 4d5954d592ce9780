"""What an application built with ``baseplate`` expects of the server around it.

Nothing here is imported or done for an application that does not use the package.
"""

from __future__ import annotations

import atexit
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

import gevent

from baseplate_serve._drop_in.finder import original_server, real_baseplate_is_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

log = logging.getLogger("baseplate_serve")

LAST_SPANS_S = 0.5  # what sending the last spans may take
LOOPBACK = ("127.0.0.1", "::1")


def start_tracing() -> None:
    """Do as Baseplate's command does before it calls the application's factory: OpenTelemetry's global
    tracer provider, trace ids in log records, context across threads.

    Must run before the application makes its first tracer.
    """
    if not real_baseplate_is_loaded():
        return
    original = original_server()
    original.LoggingInstrumentor().instrument()
    original.ThreadingInstrumentor().instrument()
    original.configure_tracing()


def stop_tracing() -> None:
    """Send the last spans, for a moment at most.

    The tracer provider does so when the interpreter ends, and its exporter tries again for a minute when
    no collector answers: a minute in which the process has stopped, but does not leave.
    """
    if not real_baseplate_is_loaded():
        return
    from opentelemetry import trace  # noqa: PLC0415 (a dependency of baseplate's)

    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown is None:
        return
    # gRPC waits outside the hub, where no timeout of ours interrupts it: its own has to be short.
    for exporter in _exporters(trace.get_tracer_provider()):
        if hasattr(exporter, "_timeout"):
            exporter._timeout = LAST_SPANS_S  # noqa: SLF001 (settable nowhere else once it is made)
    flush = gevent.spawn(shutdown)
    flush.join(LAST_SPANS_S)
    if not flush.ready():
        log.warning("no trace collector answers: the last spans are lost")
        flush.kill(block=False)
    atexit.unregister(shutdown)


def _exporters(provider: Any) -> list[Any]:
    """The span exporters of *provider*; none where its innards are others than those we know."""
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    return [processor.span_exporter for processor in processors if hasattr(processor, "span_exporter")]


def rpc_attributes(app: Any) -> Callable[[Any, Any], AbstractContextManager[Any]] | None:
    """What surrounds a Thrift connection so that Baseplate's spans carry its attributes; None without it."""
    baseplate = getattr(app, "baseplate", None)
    if baseplate is None or not real_baseplate_is_loaded():
        return None
    from form_observability import ctx  # noqa: PLC0415 (a dependency of baseplate's)

    service = baseplate.service_name

    def around(server: Any, address: Any) -> AbstractContextManager[Any]:
        # Names of OpenTelemetry's semantic conventions, as Baseplate's spans have them.
        host, port = (server.address if isinstance(server.address, tuple) else (server.address, None))[:2]
        attributes = {
            "rpc.system": "thrift",
            "rpc.service": service,
            "net.host.ip": host,
            "net.host.port": port,
        }
        if host in LOOPBACK:
            attributes["net.host.name"] = "localhost"
        if isinstance(address, tuple):
            attributes |= {"net.peer.ip": address[0], "net.peer.port": address[1]}
            if address[0] in LOOPBACK:
                attributes["net.peer.name"] = "localhost"
        return ctx.set(attributes)  # type: ignore[no-any-return]

    return around


def registered_client(app: Any) -> Any:
    """The metrics client that the application registered with `configure_observers()`, or None."""
    baseplate = getattr(app, "baseplate", None)
    if baseplate is None or not real_baseplate_is_loaded():
        return None
    return baseplate._metrics_client  # noqa: SLF001 (it has no other name)


def metrics_client(app: Any) -> Any:
    """Likewise, but None only where it has no Baseplate object.

    One that sends nowhere where it has registered none: its clients are asked for their metrics all the same.
    """
    if getattr(app, "baseplate", None) is None or not real_baseplate_is_loaded():
        return None
    registered = registered_client(app)
    if registered is not None:
        return registered
    metrics = import_module("baseplate.lib.metrics")
    return metrics.Client(metrics.NullTransport(log_if_unconfigured=False), namespace="none")


def runtime_reporters(app: Any) -> Mapping[str, Callable[[Any], None]]:
    """By name, what tells of the application's Baseplate clients."""
    baseplate = getattr(app, "baseplate", None)
    if baseplate is None or not real_baseplate_is_loaded():
        return {}
    reporters: Mapping[str, Callable[[Any], None]] = baseplate.get_runtime_metric_reporters()
    return reporters


_pools: list[Any] = []


def connections_are_in(pool: Any) -> None:
    """A server that is not ours tells its pool of greenlets, one for each connection; or None."""
    _pools.append(pool)


def told_pool() -> Any:
    """The pool that was told last, or None."""
    return _pools[-1] if _pools else None
