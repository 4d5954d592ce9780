"""aiohttp's server and client on one loop, and its server under blocking clients of gevent."""

from __future__ import annotations

import asyncio
import io
import ssl
import time
import urllib.request
from contextlib import asynccontextmanager

import aiohttp
import gevent
import pytest
from aiohttp import web

from certificates import client_context, server_context
from loops import on_hub

BLOCKED = web.AppKey("blocked", list)


async def echo(request):
    return web.Response(body=await request.read())


async def blocking(request):
    served = request.app[BLOCKED]
    served.append(served[-1] + 1)  # who is in here now
    time.sleep(0.02)
    served.append(served[-1] - 1)
    return web.Response(text=str(max(served)))


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


async def never(request):
    await asyncio.Event().wait()


async def socket(request):
    channel = web.WebSocketResponse()
    await channel.prepare(request)
    async for message in channel:
        await channel.send_str(message.data[::-1])
    return channel


@asynccontextmanager
async def serving(context=None):
    """The URL of a server on the running loop."""
    application = web.Application(client_max_size=2**24)
    application[BLOCKED] = [0]
    application.add_routes(
        [web.post("/echo", echo), web.post("/stream", stream), web.get("/blocking", blocking),
         web.get("/never", never), web.get("/socket", socket)]
    )  # fmt: skip
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        yield f"{'https' if context else 'http'}://localhost:{port}"
    finally:
        await runner.cleanup()


@on_hub
async def test_requests_over_kept_connections():
    async with (
        serving() as url,
        aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=10)) as session,
    ):

        async def ask(number):
            if number % 5 == 0:
                time.sleep(0.0005)
            async with session.post("/echo", data=str(number)) as reply:
                return int(await reply.text())

        assert await asyncio.gather(*map(ask, range(300))) == [*range(300)]


@on_hub
async def test_handlers_that_block_are_served_side_by_side():
    async with serving() as url, aiohttp.ClientSession(url) as session:

        async def ask(_):
            async with session.get("/blocking") as reply:
                return await reply.text()

        assert max(map(int, await asyncio.gather(*map(ask, range(50))))) > 1


@on_hub
async def test_a_large_body_streams_both_ways():
    async def pieces():
        for number in range(200):
            yield bytes([number]) * 20_000
            if number % 50 == 0:
                gevent.sleep(0)

    async with serving() as url, aiohttp.ClientSession(url) as session:
        async with session.post("/stream", data=pieces()) as reply:
            received = await reply.read()
    assert received == b"".join(bytes([number]) * 20_000 for number in range(200))


@on_hub
async def test_timeouts():
    async with serving() as url, aiohttp.ClientSession(url) as session:
        with pytest.raises(TimeoutError):
            await session.get("/never", timeout=aiohttp.ClientTimeout(total=0.03))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await session.get("/never")
        async with session.post("/echo", data=b"still here") as reply:
            assert await reply.read() == b"still here"


@on_hub
async def test_tls_with_certificates_of_both_sides():
    async with serving(server_context(ask_client=True)) as url, aiohttp.ClientSession(url) as session:
        body = b"x" * 2_000_000
        async with session.post("/echo", data=io.BytesIO(body), ssl=client_context(show=True)) as reply:
            assert await reply.read() == body


@on_hub
async def test_tls_from_an_unknown_authority():
    async with serving(server_context()) as url, aiohttp.ClientSession(url) as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.post("/echo", ssl=ssl.create_default_context())


@on_hub
async def test_a_websocket():
    async with (
        serving() as url,
        aiohttp.ClientSession(url) as session,
        session.ws_connect("/socket") as channel,
    ):
        for word in ("alpha", "beta"):
            await channel.send_str(word)
            assert await channel.receive_str() == word[::-1]


@on_hub
async def test_blocking_clients_in_greenlets():
    """The other way round: the server in coroutines, the clients plain greenlets of the same thread."""

    def ask(url, number):
        request = urllib.request.Request(f"{url}/echo", data=str(number).encode())
        with urllib.request.urlopen(request, timeout=20) as reply:
            return int(reply.read())

    async with serving() as url:
        greenlets = [gevent.spawn(ask, url, number) for number in range(50)]
        gevent.joinall(greenlets, raise_error=True)  # blocks this task, and serves
    assert [greenlet.value for greenlet in greenlets] == [*range(50)]


@on_hub
async def test_a_blocking_client_in_the_task_that_serves():
    async with serving() as url:
        with urllib.request.urlopen(f"{url}/echo", data=b"to myself", timeout=20) as reply:
            assert reply.read() == b"to myself"
