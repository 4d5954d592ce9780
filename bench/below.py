"""The kernel's socket below gevent's: for the second of the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.socket import wait

if TYPE_CHECKING:
    from collections.abc import Callable


def below_of(sock: Any) -> tuple[Callable[[int], bytes], Callable[[bytes], int]]:
    """What receives and what sends.

    The `recv` of gevent's tries first, and its `sendall` asks for the size of the buffer.
    """
    kernels, event = sock._sock, sock._read_event  # noqa: SLF001 (gevent has no other names for them)

    def receive(most: int) -> bytes:
        while True:
            wait(event)
            try:
                data: bytes = kernels.recv(most)
            except BlockingIOError:
                continue
            return data

    return receive, kernels.send
