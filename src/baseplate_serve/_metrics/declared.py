"""Every metric of ours: name, type, unit, labels, meaning.  The only place that makes one; `docs/metrics.md`
is written from here.

Gauges tell of a process and carry its host's name and pid; they vanish with it.  Counters and histograms
carry neither: they go on in whoever takes over the worker's files, so that totals stay right and no series is
left behind by every worker that ever lived (see docs/decisions/009).
"""

from __future__ import annotations

import os
import socket
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

PROCESS_LABELS = ("hostname", "PID")
LIVING = "livesum"  # how gauges of workers are joined: each has its own pid, and only the living count
DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


@dataclass(frozen=True)
class Metric:
    """One metric, as it is declared.  *name* is without the ``_total`` of counters."""

    name: str
    kind: str  # counter, gauge or histogram
    unit: str
    says: str
    answers: str  # the question that one looks at it for
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown_as(self) -> str:
        """The name on the page that Prometheus scrapes."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    @property
    def all_labels(self) -> tuple[str, ...]:
        return (*PROCESS_LABELS, *self.labels) if self.kind == "gauge" else self.labels


METRICS: list[Metric] = []


def _declare(*args: Any, **kwargs: Any) -> Metric:
    metric = Metric(*args, **kwargs)
    METRICS.append(metric)
    return metric


OPEN_CONNECTIONS = _declare(
    "runtime_open_connections",
    "gauge",
    "connections",
    "Connections that are open, idle or not.",
    "How many clients hold on to this worker?",
)
ACTIVE_REQUESTS = _declare(
    "runtime_active_requests",
    "gauge",
    "requests",
    "Requests in flight: begun, and their reply not sent.",
    "Is it busy?",
)
REQUESTS = _declare(
    "runtime_requests",
    "counter",
    "requests",
    "Requests that are over, by outcome: 'ok'; 'error', the application or the server failed (HTTP 5xx, a "
    "Thrift call that was answered with an exception that nobody declared); 'lost', the connection ended "
    "before the reply; 'abandoned', cut off at stop_timeout.  WebSockets are not counted.",
    "How much does it serve, and how much of that fails?",
    labels=("outcome",),
)
REQUEST_DURATION = _declare(
    "runtime_request_duration_seconds",
    "histogram",
    "seconds",
    "From the first bytes of a request to the last byte of its reply, handed to the kernel.",
    "How long do clients wait for this worker, reading and writing included?",
    buckets=DURATION_BUCKETS_S,
)
ABANDONED = _declare(
    "runtime_requests_abandoned",
    "counter",
    "requests",
    "Requests cut off because stop_timeout was over.",
    "Does a deployment lose requests?",
)
RECEIVED = _declare(
    "runtime_received_bytes",
    "counter",
    "bytes",
    "What clients sent, without what TLS adds.",
    "What comes in?",
)
SENT = _declare(
    "runtime_sent_bytes",
    "counter",
    "bytes",
    "What clients were sent, without what TLS adds.",
    "What goes out?",
)
REFUSED = _declare(
    "runtime_connections_refused",
    "counter",
    "connections",
    "Connections that the server closed for what the client did: 'malformed', what it sent is no message "
    "or is longer than a limit allows; 'entrance', no TLS handshake or PROXY header; or the option that it "
    "outlasted: 'first_byte_timeout', 'head_timeout', 'body_timeout', 'send_timeout', "
    "'websocket_ping_timeout'.  Idle connections that time out are not counted: that is how they end.",
    "Who sends what we do not serve?",
    labels=("reason",),
)
FULL = _declare(
    "runtime_full_seconds",
    "counter",
    "seconds",
    "How long no connection was accepted, because max_concurrency of them were open.",
    "Do clients wait in the listener's queue?",
)
PHASE = _declare(
    "runtime_phase",
    "gauge",
    "1 or 0",
    "1 for the phase that the process is in: 'serving', 'draining' or 'finishing'.",
    "Which workers are on their way out?",
    labels=("phase",),
)
HUB_LAG = _declare(
    "runtime_hub_lag_seconds",
    "histogram",
    "seconds",
    "How late the hub came to a timer, ten times a second.",
    "Does something keep everybody else waiting?",
    buckets=LAG_BUCKETS_S,
)
HUB_BLOCKED = _declare(
    "runtime_hub_blocked_seconds",
    "histogram",
    "seconds",
    "How long one greenlet or coroutine kept the hub, where that was longer than monitoring.blocked_hub; "
    "the log has the stack.",
    "Who computes, or calls what gevent cannot patch?",
    buckets=DURATION_BUCKETS_S,
)
HAND_OFFS = _declare(
    "runtime_loop_hand_offs",
    "counter",
    "calls",
    "Calls in coroutines that blocked in gevent while the asyncio loop went on with other tasks.",
    "Which services still block inside of async code?",
)
HOLDS = _declare(
    "runtime_loop_holds",
    "counter",
    "calls",
    "Likewise, but the whole loop waited: in callbacks, or in a no_handoff section.",
    "Does blocking code stop the loop?",
)
SLOW_CALLBACKS = _declare(
    "runtime_loop_slow_callbacks",
    "counter",
    "times",
    "Times that coroutines kept the loop longer than its slow_callback_duration (0.1 s).",
    "Do coroutines compute for too long between two awaits?",
)
TASKS = _declare("runtime_loop_tasks", "gauge", "tasks", "asyncio tasks that are alive.", "Do tasks pile up?")
GC_STATS = _declare(
    "runtime_gc",
    "gauge",
    "times or objects",
    "gc.get_stats(), since the process began: 'collections', 'collected', 'uncollectable' of a generation.",
    "How busy is the garbage collector?",
    labels=("statistic", "generation"),
)
GC_DURATION = _declare(
    "runtime_gc_duration_seconds",
    "histogram",
    "seconds",
    "How long one garbage collection took.",
    "Does garbage collection stop the service?",
    labels=("generation",),
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
POOL_CONNECTIONS = _declare(
    "runtime_pool_connections",
    "gauge",
    "connections",
    "Connections of a pool that `baseplate_serve.monitoring.watch_pool` was told of: 'in_use' or 'idle'.  "
    "NaN while it cannot be read.",
    "Is a pool the bottleneck?",
    labels=("pool", "state"),
)
POOL_LIMIT = _declare(
    "runtime_pool_limit",
    "gauge",
    "connections",
    "The most connections that such a pool opens; absent where it has no limit.",
    "How far is it from that?",
    labels=("pool",),
)


class RuntimeMetrics:
    """The metrics of one process.  Make it once, after the exporter and before the application."""

    def __init__(self, registry: Any = None) -> None:
        # Imported late: with metrics.enabled = false nobody pays for prometheus_client.
        import prometheus_client  # noqa: PLC0415

        self._library = prometheus_client
        self._registry = prometheus_client.REGISTRY if registry is None else registry
        self._process = (socket.gethostname(), str(os.getpid()))
        self._made: dict[str, Any] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}

    def __call__(self, metric: Metric, *labels: str) -> Any:
        """The Counter, Gauge or Histogram of *metric* for the values of its own *labels*."""
        key = (metric.name, labels)
        if key not in self._children:
            made = self._made.get(metric.name) or self._make(metric)
            values = (*self._process, *labels) if metric.kind == "gauge" else labels
            self._children[key] = made.labels(*values) if values else made
        return self._children[key]

    def observe_all(self, values: Collection[float], metric: Metric, *labels: str) -> None:
        """As `observe` for each of *values*, at the cost of one: 1.5 µs a request otherwise."""
        histogram = self(metric, *labels)
        if not values:
            return
        in_order = sorted(values)
        before = 0
        # Its only other way to add many.
        for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):  # noqa: SLF001
            upto = bisect_right(in_order, bound)
            if upto > before:
                bucket.inc(upto - before)
            before = upto
        histogram._sum.inc(sum(values))  # noqa: SLF001 (likewise)

    def _make(self, metric: Metric) -> Any:
        library, name, says, labels = self._library, metric.name, metric.says, metric.all_labels
        if metric.kind == "counter":
            made: Any = library.Counter(name, says, labels, registry=self._registry)
        elif metric.kind == "gauge":
            made = library.Gauge(name, says, labels, registry=self._registry, multiprocess_mode=LIVING)
        else:
            made = library.Histogram(name, says, labels, registry=self._registry, buckets=metric.buckets)
        self._made[metric.name] = made
        return made
