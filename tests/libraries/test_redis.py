"""redis.asyncio against a real redis-server."""

from __future__ import annotations

import asyncio
import time

import gevent
import pytest
import redis.asyncio as redis

from loops import Gate, on_hub
from private_servers import Redis


@pytest.fixture(scope="module")
def server():
    with Redis() as server:
        yield server


@pytest.fixture(params=["unix", "tcp"])
def address(request, server):
    return {"unix_socket_path": server.socket} if request.param == "unix" else {"port": server.port}


@on_hub
async def test_get_and_set(address):
    async with redis.Redis(**address) as client:
        await client.set("key", b"x" * 1_000_000)
        assert await client.get("key") == b"x" * 1_000_000


@on_hub
async def test_a_pipeline(address):
    async with redis.Redis(**address) as client:
        async with client.pipeline(transaction=True) as pipe:
            pipe.set("n", 0)
            for _ in range(100):
                pipe.incr("n")
            answers = await pipe.execute()
    assert answers == [True, *range(1, 101)]


@on_hub
async def test_a_watched_key(server):
    """A transaction that another client disturbs while this one blocks in gevent."""
    gate = Gate()
    async with redis.Redis(unix_socket_path=server.socket) as client:
        await client.set("watched", 1)

        async def slow():
            async with client.pipeline() as pipe:
                await pipe.watch("watched")
                gate.wait_in_gevent()
                pipe.multi()
                pipe.set("watched", 2)
                await pipe.execute()

        async def quick():
            await client.set("watched", 3)
            gate.open()

        outcome, _ = await asyncio.gather(slow(), quick(), return_exceptions=True)
        assert isinstance(outcome, redis.WatchError)
        assert await client.get("watched") == b"3"


@on_hub
async def test_published_messages(address):
    async with redis.Redis(**address) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("news")
        heard = []

        async def listen():
            async for message in pubsub.listen():
                if message["type"] == "message":
                    heard.append(int(message["data"]))
                    if len(heard) == 50:
                        return

        listener = asyncio.create_task(listen())
        while not await client.publish("news", 0):
            await asyncio.sleep(0)
        for number in range(1, 50):
            await client.publish("news", number)
            if number % 10 == 0:
                time.sleep(0.001)
        await listener
    assert heard == [*range(50)]


@on_hub
async def test_a_blocking_pop_is_cancelled(address):
    """And the connection it waited on is not handed out with the answer of somebody else in it."""
    async with redis.Redis(**address, max_connections=2) as client:
        for number in range(5):
            pop = asyncio.create_task(client.blpop("queue", timeout=0))
            while not (await client.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0)
            pop.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pop
            assert await client.set("other", number)
            assert int(await client.get("other")) == number


@on_hub
async def test_a_blocking_pop_gets_what_is_pushed(address):
    async with redis.Redis(**address) as client:
        pops = [asyncio.create_task(client.blpop("jobs", timeout=0)) for _ in range(10)]
        for number in range(10):
            await client.rpush("jobs", number)
        assert sorted(int(value) for _, value in await asyncio.gather(*pops)) == [*range(10)]


@on_hub
async def test_a_pool_of_few_connections_for_many_tasks(address):
    pool = redis.BlockingConnectionPool(
        **(
            {"connection_class": redis.UnixDomainSocketConnection, "path": address["unix_socket_path"]}
            if "unix_socket_path" in address
            else address
        ),
        max_connections=5,
        timeout=None,
    )
    async with redis.Redis(connection_pool=pool) as client:
        await client.set("sum", 0)

        async def add(number):
            if number % 3 == 0:
                gevent.sleep(0.001)
            await client.incrby("sum", number)
            return int(await client.echo(str(number)))

        assert await asyncio.gather(*map(add, range(200))) == [*range(200)]
        assert int(await client.get("sum")) == sum(range(200))
    await pool.aclose()
