# ruff: noqa: RUF009 (a field is declared by a call: that is the idea of this file)
"""Every option of the server section, declared once.

The command parses them all before anything is bound; `docs/options.md` is written from here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from baseplate_serve import config
from baseplate_serve._settings.declare import (
    CLASS,
    COUNT,
    DIRECTORY,
    DURATION,
    ENDPOINT,
    FILE,
    FORWARDED,
    NETWORKS,
    PREFIX,
    SWITCH,
    Option,
    option,
)
from baseplate_serve._settings.networks import Networks  # noqa: TC001 (a dataclass's)
from baseplate_serve._settings.patience import HTTP


@dataclass(frozen=True)
class ServerSettings:
    """The server section, parsed.  Times are timedeltas, sizes are bytes."""

    stop_timeout: timedelta = option(
        "stop_timeout",
        DURATION,
        timedelta(0),
        absent="stop at once",
        says="How long requests in flight may take to finish once the listener is closed. "
        "What is left after it is cut off, logged and counted.",
    )
    drain_time: timedelta = option(
        "drain_time",
        DURATION,
        timedelta(0),
        absent="no drain",
        says="How long to go on accepting after a stop is asked for, with readiness failing, so that "
        "load balancers and clients notice us leaving.",
    )
    max_concurrency: int | None = option(
        "max_concurrency",
        COUNT,
        None,
        absent="no limit",
        says="How many connections are accepted at a time; the others wait in the listener's queue.",
    )
    handler: str | None = option(
        "handler",
        CLASS,
        None,
        absent="the server's own",
        says="A subclass of `gevent.pywsgi.WSGIHandler` that handles the connections.",
        only="wsgi",
    )
    max_frame_size: int = option(
        "max_frame_size",
        COUNT,
        100 * 1024 * 1024,
        absent="104857600 (100 MiB)",
        says="The longest Thrift message that is read, in bytes, however it is framed and after it is "
        "decompressed. A client that announces a longer one is disconnected. What is compressed may become a "
        "hundred times as long, or 1 MiB.",
        only="thrift",
    )
    max_head_size: int = option(
        "max_head_size",
        COUNT,
        64 * 1024,
        absent="65536 (64 KiB)",
        says="The longest head of an HTTP request that is read, in bytes: the request line and all headers. "
        "A longer one is answered with 431. Of no effect with a `handler`, unless in a `Mount`.",
        only="wsgi",
    )
    max_headers: int = option(
        "max_headers",
        COUNT,
        100,
        absent="100",
        says="How many headers an HTTP request may have; more are answered with 431. "
        "Of no effect with a `handler`, unless in a `Mount`.",
        only="wsgi",
    )
    max_body_size: int | None = option(
        "max_body_size",
        COUNT,
        None,
        absent="no limit",
        says="The longest body of an HTTP request that is read, in bytes; a longer one is answered with 413. "
        "Of no effect with a `handler`, unless the length is declared, in a `Mount`.",
        only="wsgi",
    )
    first_byte_timeout: timedelta | None = option(
        "first_byte_timeout",
        DURATION,
        None,
        absent=f"{HTTP.first_byte_timeout} seconds for HTTP, no limit for Thrift",
        says="How long a client may be connected before it sends anything. 0: no limit.",
    )
    idle_timeout: timedelta | None = option(
        "idle_timeout",
        DURATION,
        None,
        absent=f"{HTTP.idle_timeout} seconds for HTTP, no limit for Thrift",
        says="How long a connection may be idle between two requests. Choose more than the load balancer's: "
        "a request that is under way when its connection is closed is lost. 0: no limit.",
    )
    head_timeout: timedelta | None = option(
        "head_timeout",
        DURATION,
        None,
        absent=f"{HTTP.head_timeout} seconds",
        says="How long the whole head of an HTTP request may take from its first byte on, however it drips "
        "in. It is answered with 408 then. 0: no limit.",
        only="wsgi",
    )
    body_timeout: timedelta | None = option(
        "body_timeout",
        DURATION,
        None,
        absent=f"{HTTP.body_timeout} seconds",
        says="How long the server waits for the next bytes of an HTTP request's body that the application "
        "reads (answered with 408), or in the middle of a Thrift message. 0: no limit.",
    )
    send_timeout: timedelta | None = option(
        "send_timeout",
        DURATION,
        None,
        absent=f"{HTTP.send_timeout} seconds",
        says="How long a client may take nothing of a response that waits for it. 0: no limit.",
    )
    websocket_ping_interval: timedelta = option(
        "websocket_ping_interval",
        DURATION,
        timedelta(seconds=20),
        absent="20 seconds",
        says="How long a WebSocket's client may say nothing before it is pinged. 0: never.",
        only="wsgi",
    )
    websocket_ping_timeout: timedelta = option(
        "websocket_ping_timeout",
        DURATION,
        timedelta(seconds=20),
        absent="20 seconds",
        says="How long that client then may say nothing before it counts as gone.",
        only="wsgi",
    )
    max_websocket_message: int = option(
        "max_websocket_message",
        COUNT,
        16 * 1024 * 1024,
        absent="16777216 (16 MiB)",
        says="The longest message that is taken from a WebSocket, in bytes; a longer one closes it with "
        "code 1009.",
        only="wsgi",
    )
    tls_certificate: str | None = option(
        "tls.certificate",
        FILE,
        None,
        absent="no TLS",
        says="The server's certificate, and those between it and the root, as PEM. The files of TLS are read "
        "again on SIGHUP, for new connections.",
    )
    tls_key: str | None = option(
        "tls.key",
        FILE,
        None,
        absent="no TLS",
        says="The private key of that certificate, as PEM, not encrypted.",
    )
    tls_client_ca: str | None = option(
        "tls.client_ca",
        FILE,
        None,
        absent="clients need no certificate",
        says="Mutual TLS: certificates as PEM, one of which must have signed a client's.",
    )
    proxy_protocol_from: Networks | None = option(
        "proxy_protocol.from",
        NETWORKS,
        None,
        absent="the PROXY protocol is not spoken",
        says="Proxies whose connections begin with a header of the PROXY protocol, version 1 or 2: the "
        "client's address is the one that it names. One of theirs without it is closed; others must not send "
        "it.",
    )
    forwarded_from: Networks | None = option(
        "forwarded.from",
        NETWORKS,
        None,
        absent="nobody is believed",
        says="Proxies whose header says who the client is, and whether it came by https: the last address in "
        "it that is none of theirs.",
        only="wsgi",
    )
    forwarded_header: str = option(
        "forwarded.header",
        FORWARDED,
        "x-forwarded-for",
        absent="x-forwarded-for",
        says="Which header they write: `x-forwarded-for` with `x-forwarded-proto`, or `forwarded` (RFC "
        "7239). Another one of a client's own making may be passed on by them, and is not looked at.",
        only="wsgi",
    )
    root_path: str = option(
        "root_path",
        PREFIX,
        "",
        absent="nothing is stripped",
        says="The prefix that a proxy strips from every path before it sends us the request, not "
        "percent-encoded. ASGI applications get it as `root_path`, and `path` with it; WSGI applications as "
        "`SCRIPT_NAME`. Both make URLs with it that the proxy's clients can follow.",
        only="wsgi",
    )
    metrics_enabled: bool = option(
        "metrics.enabled",
        SWITCH,
        True,
        absent="true",
        says="Whether Prometheus metrics are exported. May stand in the app section, too.",
    )
    metrics_endpoint: config.EndpointConfiguration = option(
        "metrics.endpoint",
        ENDPOINT,
        config.Endpoint("0.0.0.0:6060"),
        absent="0.0.0.0:6060",
        says="Where `/metrics` is served. In the app section the same name means something else: "
        "where Baseplate's metrics client sends to.",
    )
    blocked_hub: timedelta | None = option(
        "monitoring.blocked_hub",
        DURATION,
        None,
        absent="off",
        says="Report who kept the hub for longer than this, and log the stack.",
    )
    concurrency: bool = option(
        "monitoring.concurrency",
        SWITCH,
        True,
        absent="true",
        says="Report open connections and active requests.",
    )
    connection_pool: bool = option(
        "monitoring.connection_pool",
        SWITCH,
        False,
        absent="false",
        says="Report the use of connection pools: those that `baseplate_serve.monitoring.watch_pool` was "
        "told of, and those of Baseplate's clients.",
    )
    gc_stats: bool = option(
        "monitoring.gc.stats",
        SWITCH,
        True,
        absent="true",
        says="Report the garbage collector's statistics.",
    )
    gc_timing: bool = option(
        "monitoring.gc.timing",
        SWITCH,
        False,
        absent="false",
        says="Report how long each garbage collection took.",
    )
    gc_refcycle: str | None = option(
        "monitoring.gc.refcycle",
        DIRECTORY,
        None,
        absent="off",
        says="Draw reference cycles into this directory, with graphviz. For debugging only: it replaces "
        "automatic garbage collection.",
    )


OPTIONS: dict[str, Option] = {f.metadata["option"].name: f.metadata["option"] for f in fields(ServerSettings)}
FIELD_OF = {f.metadata["option"].name: f.name for f in fields(ServerSettings)}
# Baseplate reads it from the app section.  Not metrics.endpoint, which is its statsd client's there.
OF_BOTH_SECTIONS = ("metrics.enabled",)
