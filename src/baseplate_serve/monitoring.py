"""What an application tells the monitors: which connection pools to watch.

    from baseplate_serve.monitoring import watch_pool

    watch_pool("db", sqlalchemy_engine)

Knows SQLAlchemy's engines (and asynchronous ones) and their pools, clients and pools of ``redis`` and
``redis.asyncio``, pools of ``psycopg_pool`` and ``asyncpg``, and gevent's, of greenlets and of threads.
``monitoring.connection_pool`` shows them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

__all__ = ["PoolUse", "watch_pool", "watched_pools"]


@dataclass(frozen=True)
class PoolUse:
    """Connections of a pool.  *limit* None: it has none."""

    in_use: int
    idle: int
    limit: int | None


REDIS_UNLIMITED = 2**31  # what redis makes of no limit

_watched: dict[str, Callable[[], PoolUse]] = {}


def watch_pool(name: str, pool: Any) -> None:
    """Report the use of *pool* under *name*; another one of that name is forgotten.

    Of pools of SQLAlchemy's that keep no figures (NullPool, StaticPool, …, those of SQLite in memory) nothing
    is reported, and the log says so.

    Raises: TypeError for a kind of pool that is not known.  Switches: no.
    """
    pool = getattr(pool, "connection_pool", pool)  # of a client of redis
    if _is_sqlalchemy(pool) and not _has("size", "checkedout", "checkedin")(_sqlalchemy_pool(pool)):
        _watched.pop(name, None)
        log.info("the pool of %s, a %s, has no figures", name, type(_sqlalchemy_pool(pool)).__name__)
        return
    _watched[name] = partial(_reader_of(pool), pool)


def watched_pools() -> Mapping[str, Callable[[], PoolUse]]:
    """By name, what tells the present use of each pool; it raises what the pool raises."""
    return _watched


def _reader_of(pool: Any) -> Callable[[Any], PoolUse]:
    """What reads *pool*, found by what it has: none of their libraries has to be there."""
    readers: list[tuple[Callable[[Any], bool], Callable[[Any], PoolUse]]] = [
        (_is_sqlalchemy, _sqlalchemy),
        (_has("_in_use_connections", "_available_connections"), _redis),
        (_has("_connections", "pool", "max_connections"), _blocking_redis),
        (_has("get_stats", "min_size"), _psycopg),
        (_has("get_size", "get_idle_size", "get_max_size"), _asyncpg),
        (_has("greenlets", "free_count"), _gevent),
        (_has("task_queue", "maxsize", "size"), _gevent_threads),
    ]
    for matches, read in readers:
        if matches(pool):
            read(pool)  # what cannot be read is said here, not in a monitor later
            return read
    raise TypeError(
        f"watch_pool knows SQLAlchemy's engines, redis, psycopg_pool, asyncpg and gevent pools, not {pool!r}"
    )


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda pool: all(hasattr(pool, name) for name in names)


def _sqlalchemy_pool(pool: Any) -> Any:
    """Of an engine, or *pool* itself."""
    return getattr(pool, "pool", pool)


def _is_sqlalchemy(pool: Any) -> bool:
    return _has("status", "recreate", "dispose")(_sqlalchemy_pool(pool))


def _sqlalchemy(pool: Any) -> PoolUse:
    pool = _sqlalchemy_pool(pool)
    more = getattr(pool, "_max_overflow", 0)
    return PoolUse(pool.checkedout(), pool.checkedin(), None if more < 0 else pool.size() + more)


def _redis(pool: Any) -> PoolUse:
    in_use, idle = len(pool._in_use_connections), len(pool._available_connections)  # noqa: SLF001 (no other way)
    return PoolUse(in_use, idle, pool.max_connections if pool.max_connections < REDIS_UNLIMITED else None)


def _blocking_redis(pool: Any) -> PoolUse:
    queue = pool.pool.queue if hasattr(pool.pool, "queue") else pool.pool._queue  # noqa: SLF001 (asyncio's, in redis 4)
    idle = sum(1 for connection in queue if connection is not None)  # None: a place without one
    return PoolUse(len(pool._connections) - idle, idle, pool.max_connections)  # noqa: SLF001 (no other way)


def _psycopg(pool: Any) -> PoolUse:
    stats = pool.get_stats()
    limit = stats["pool_max"] or None  # a NullConnectionPool has none
    if pool.closed:
        return PoolUse(0, 0, limit)  # its size is what it would open
    size, idle = stats["pool_size"], stats["pool_available"]
    return PoolUse(size - idle, idle, limit)


def _asyncpg(pool: Any) -> PoolUse:
    size, idle = pool.get_size(), pool.get_idle_size()
    return PoolUse(size - idle, idle, pool.get_max_size())


def _gevent(pool: Any) -> PoolUse:
    in_use = len(pool)
    return PoolUse(in_use, 0, pool.size)


def _gevent_threads(pool: Any) -> PoolUse:
    in_use = min(len(pool), pool.size)  # others wait for a thread
    return PoolUse(in_use, pool.size - in_use, pool.maxsize)
