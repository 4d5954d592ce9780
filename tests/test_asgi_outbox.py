"""What goes to a client that takes less than there is."""

from __future__ import annotations

import asyncio
import socket

import compat
from baseplate_serve._lifecycle.connections import Connection
from baseplate_serve._servers.asgi.outbox import ClientGone, Outbox


def test_who_waits_for_a_client_whose_connection_closes_finds_it_gone():
    """And the loop doesn't watch a closed descriptor: libev would abort the process."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        outbox = Outbox(ours, loop, Connection(ours, ""))
        waiting = [loop.create_task(outbox.write(bytes(5_000_000))) for _ in range(2)]
        await asyncio.sleep(0)
        outbox.close()
        watched = loop.remove_writer(ours)
        ours.close()
        theirs.close()
        with socket.socket():  # it has the descriptor now
            assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
                ClientGone,
                ClientGone,
            ]
        assert not watched

    with asyncio.Runner(loop_factory=compat.HubEventLoop) as runner:
        runner.run(main())
