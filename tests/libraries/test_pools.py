"""What `watch_pool` says of real pools: a connection that is taken, and given back."""

from __future__ import annotations

import asyncpg
import psycopg_pool
import pytest
import redis
import redis.asyncio
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from baseplate_serve.monitoring import PoolUse, _watched, watch_pool, watched_pools
from deadline import wait_for
from loops import on_hub
from private_servers import Postgres, Redis


@pytest.fixture(scope="module")
def redis_server():
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def forget():
    yield
    _watched.clear()


def use():
    return watched_pools()["db"]()


@pytest.mark.parametrize("kind", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_redis(redis_server, kind):
    pool = kind(max_connections=5, host="localhost", port=redis_server.port)
    watch_pool("db", pool)
    connection = pool.get_connection()
    assert use() == PoolUse(in_use=1, idle=0, limit=5)
    pool.release(connection)
    assert use() == PoolUse(in_use=0, idle=1, limit=5)
    pool.disconnect()


@pytest.mark.parametrize("kind", [redis.asyncio.ConnectionPool, redis.asyncio.BlockingConnectionPool])
def test_redis_asyncio(redis_server, kind):
    @on_hub
    async def run():
        pool = kind(max_connections=5, host="localhost", port=redis_server.port)
        watch_pool("db", pool)
        connection = await pool.get_connection()
        assert use() == PoolUse(in_use=1, idle=0, limit=5)
        await pool.release(connection)
        assert use() == PoolUse(in_use=0, idle=1, limit=5)
        await pool.disconnect()

    run()


@on_hub
async def test_asyncpg(postgres):
    async with asyncpg.create_pool(**postgres.over_socket, min_size=1, max_size=5) as pool:
        watch_pool("db", pool)
        assert use() == PoolUse(in_use=0, idle=1, limit=5)
        async with pool.acquire():
            assert use() == PoolUse(in_use=1, idle=0, limit=5)


def test_psycopg(postgres):
    names = {"host": "host", "user": "user", "database": "dbname", "port": "port"}
    options = {names[key]: value for key, value in postgres.over_socket.items() if key in names}
    pool = psycopg_pool.ConnectionPool(kwargs=options, min_size=1, max_size=5, open=False)
    watch_pool("db", pool)
    assert use() == PoolUse(in_use=0, idle=0, limit=5)
    with pool:
        wait_for(lambda: use() == PoolUse(in_use=0, idle=1, limit=5), "it is connected")
        with pool.connection():
            assert use() == PoolUse(in_use=1, idle=0, limit=5)
    assert use() == PoolUse(in_use=0, idle=0, limit=5)


@on_hub
async def test_sqlalchemys_asynchronous_engine(postgres):
    engine = create_async_engine(
        "postgresql+asyncpg://", connect_args=postgres.over_socket, pool_size=3, max_overflow=2
    )
    watch_pool("db", engine)
    async with engine.connect() as connection:
        assert (await connection.execute(sqlalchemy.text("select 1"))).scalar() == 1
        assert use() == PoolUse(in_use=1, idle=0, limit=5)
    assert use() == PoolUse(in_use=0, idle=1, limit=5)
    await engine.dispose()
