"""asyncpg against a real PostgreSQL: a protocol in C that drives the loop's transports directly."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import gevent
import httpx
import pytest

from asgi_harness import connected, reply, serving, url
from certificates import client_context
from compat import new_event_loop
from deadline import DEADLINE_S, wait_for
from loops import Gate, on_hub
from private_servers import Postgres

RUNNING = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active'"


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@on_hub
async def test_over_a_unix_socket(postgres):
    connection = await asyncpg.connect(**postgres.over_socket)
    assert await connection.fetchval("select $1::int + 1", 41) == 42
    await connection.close()


@on_hub
async def test_over_tcp_with_tls(postgres):
    """PostgreSQL starts TLS in the middle of a connection."""
    connection = await asyncpg.connect(**postgres.over_tcp, ssl=client_context())
    assert await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    assert len(await connection.fetchval("select repeat('x', 3000000)")) == 3_000_000
    await connection.close()


@on_hub
async def test_a_pool_under_many_tasks_that_also_block(postgres):
    async def ask(pool, number):
        async with pool.acquire() as connection:
            if number % 3 == 0:
                time.sleep(0.001)
            answer = await connection.fetchval("select $1::int", number)
            if number % 5 == 0:
                gevent.sleep(0)
        return answer

    async with asyncpg.create_pool(**postgres.over_socket, min_size=2, max_size=8) as pool:
        assert await asyncio.gather(*(ask(pool, number) for number in range(300))) == [*range(300)]


@on_hub
async def test_a_transaction_with_a_blocking_call_in_it(postgres):
    gate = Gate()
    async with asyncpg.create_pool(**postgres.over_socket, min_size=2, max_size=2) as pool:
        await pool.execute("create table if not exists t (n int); truncate t")

        async def writes():
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("insert into t values (1)")
                gate.wait_in_gevent()

        async def reads():
            async with pool.acquire() as connection:
                seen = await connection.fetchval("select count(*) from t")
            gate.open()
            return seen

        assert await asyncio.gather(writes(), reads()) == [None, 0]
        assert await pool.fetchval("select count(*) from t") == 1


@on_hub
async def test_a_transaction_is_rolled_back(postgres):
    connection = await asyncpg.connect(**postgres.over_socket)
    await connection.execute("create table if not exists r (n int); truncate r")
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with connection.transaction():
            await connection.execute("insert into r values (1)")
            await connection.execute("select 1 / 0")
    assert await connection.fetchval("select count(*) from r") == 0
    await connection.close()


@on_hub
async def test_a_running_query_is_cancelled(postgres):
    """asyncpg asks the server over a second connection; the first is good for further queries."""
    connection = await asyncpg.connect(**postgres.over_socket)
    watcher = await asyncpg.connect(**postgres.over_socket)
    query = asyncio.create_task(connection.execute("select pg_sleep(60)"))
    while not await watcher.fetchval("select 1 from pg_stat_activity where wait_event = 'PgSleep'"):
        await asyncio.sleep(0)
    await watcher.close()
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert await connection.fetchval("select 1") == 1
    await connection.close()


@on_hub
async def test_timeouts(postgres):
    connection = await asyncpg.connect(**postgres.over_socket)
    with pytest.raises(TimeoutError):
        await connection.execute("select pg_sleep(60)", timeout=0.02)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await connection.execute("select pg_sleep(60)")
    assert await connection.fetchval("select 1") == 1
    await connection.close()


@on_hub
async def test_listen_and_notify(postgres):
    heard = asyncio.Queue()
    listener = await asyncpg.connect(**postgres.over_socket)
    speaker = await asyncpg.connect(**postgres.over_socket)
    await listener.add_listener("news", lambda *news: heard.put_nowait(news[-1]))
    for number in range(20):
        await speaker.execute(f"notify news, '{number}'")
        if number % 7 == 0:
            time.sleep(0.001)
    assert [await heard.get() for _ in range(20)] == [str(number) for number in range(20)]
    await listener.close()
    await speaker.close()


@on_hub
async def test_a_cursor_and_a_copy(postgres):
    connection = await asyncpg.connect(**postgres.over_socket)
    await connection.execute("create temp table c (n int)")
    assert await connection.copy_records_to_table("c", records=[(n,) for n in range(5000)]) == "COPY 5000"
    async with connection.transaction():
        found = [row["n"] async for row in connection.cursor("select n from c order by n", prefetch=100)]
    assert found == [*range(5000)]
    await connection.close()


def test_each_greenlet_its_own_loop_and_connection(postgres):
    """As a WSGI handler does it: asyncio.Runner in the request's greenlet."""

    async def ask(number):
        connection = await asyncpg.connect(**postgres.over_socket)
        try:
            return await connection.fetchval("select $1::int", number)
        finally:
            await connection.close()

    def handle(number):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(ask(number))

    greenlets = [gevent.spawn(handle, number) for number in range(10)]
    gevent.joinall(greenlets, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == [*range(10)]


def test_a_client_of_an_asgi_server_that_hangs_up_cancels_its_query_and_the_pool_lives_on(postgres):
    """The query is ended in the database, too, and its connection goes back."""
    pool = None

    async def app(scope, receive, send):
        nonlocal pool
        if scope["type"] == "lifespan":
            await receive()
            pool = await asyncpg.create_pool(**postgres.over_socket, min_size=1, max_size=1)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        slow = scope["path"] == "/slow"
        answer = await pool.fetchval("select 'slow' from pg_sleep(60)" if slow else RUNNING)
        await reply(send, str(answer).encode())

    with serving(app, lifespan=True) as server:
        for _ in range(3):
            with connected(server) as sock:
                sock.sendall(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
                wait_for(lambda: server.in_flight() and pool.get_idle_size() == 0, "the query runs")
            assert httpx.get(url(server), timeout=DEADLINE_S).text == "0"
        wait_for(lambda: not server.tasks)
