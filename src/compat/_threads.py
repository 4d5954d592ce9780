"""Native threads: `run_in_executor`, `asyncio.to_thread`, and the resolver."""

from __future__ import annotations

import asyncio
import os
import socket
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

import gevent
import gevent.socket
from gevent import monkey
from gevent.threadpool import ThreadPool

from compat._asyncio import SelectorEventLoop, convert_future_exception
from compat._greenlets import result_of
from compat._handles import NO_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from gevent.hub import Hub

SIZE = min(32, (os.cpu_count() or 1) + 4)  # as many as asyncio's default executor has


class NativeThreads:
    """A pool of real threads with a queue before it; in a patched process `threading` makes greenlets."""

    def __init__(self, hub: Hub, size: int = SIZE) -> None:
        self.pool = ThreadPool(size, hub)
        self.size = size
        self.at_work = 0
        self.queue: deque[Job] = deque()
        self.idle: asyncio.Future[None] | None = None

    def submit(self, job: Job) -> None:
        """Run *job* in the next free thread.  Switches: no, where the pool's own `spawn` waits."""
        if self.at_work < self.size:
            self.at_work += 1
            self.pool.spawn(job.run).rawlink(self._done)
        else:
            self.queue.append(job)

    def _done(self, outcome: Any) -> None:
        """In the hub: a thread is free."""
        self.at_work -= 1
        job, result, error = outcome.get(block=False)
        job.settle(result, error)
        while self.queue and self.at_work < self.size:
            waiting = self.queue.popleft()
            if not waiting.future.cancelled():
                self.submit(waiting)
        if not self.at_work and self.idle is not None and not self.idle.done():
            self.idle.set_result(None)


class Job:
    """One call in a thread, and the future that hears of its outcome."""

    def __init__(self, future: asyncio.Future[Any], func: Callable[..., Any], args: Any) -> None:
        self.future = future
        self.func = func
        self.args = args

    def run(self) -> tuple[Job, Any, BaseException | None]:
        """In the thread."""
        try:
            return self, self.func(*self.args), None
        except StopIteration as error:  # no future can hold one
            wrapped = RuntimeError("the function raised StopIteration")
            wrapped.__cause__ = error
            return self, None, wrapped
        except BaseException as error:  # noqa: BLE001 (it is the caller's)
            return self, None, error

    def settle(self, result: Any, error: BaseException | None) -> None:
        """In the hub.  Nobody hears of it when the future was cancelled or its loop is closed."""
        if self.future.done() or self.future.get_loop().is_closed():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(convert_future_exception(error))


class Threads(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where a loop runs what would block the process."""

    __slots__ = NO_SLOTS

    _hub: Hub
    _native: NativeThreads | None = None

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:
        """As asyncio's; without an executor, in a real thread, in a patched process too.  Switches: no."""
        if executor is not None or self._default_executor is not None:
            return super().run_in_executor(executor, func, *args)
        self._check_closed()
        if self.get_debug():
            self._check_callback(func, "run_in_executor")
        if self._executor_shutdown_called:
            raise RuntimeError("Executor shutdown has been called")
        if self._native is None:
            self._native = NativeThreads(self._hub)
        future = self.create_future()
        self._native.submit(Job(future, func, args))
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (asyncio's)
        """As asyncio's: returns when the threads have ended, or *timeout* seconds later with a warning."""
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            await super().shutdown_default_executor(*(() if timeout is None else (timeout,)))
        native, self._native = self._native, None
        if native is None:
            return
        try:
            async with asyncio.timeout(timeout):
                if native.at_work:
                    native.idle = self.create_future()
                    await native.idle
                await result_of(gevent.spawn(native.pool.kill))
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            gevent.spawn(native.pool.kill)

    def close(self) -> None:
        """Threads that are at work end with what they do."""
        native, self._native = self._native, None
        super().close()
        if native is not None:
            gevent.spawn(native.pool.kill)

    # The resolver of gevent waits in a greenlet, in whatever way it is configured to.

    async def getaddrinfo(  # noqa: PLR0913 (asyncio's signature)
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 (likewise)
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As asyncio's, by gevent's resolver."""
        find = _cooperative("getaddrinfo")
        if self.get_debug():
            find = self._getaddrinfo_debug
        found: list[Any] = await result_of(gevent.spawn(find, host, port, family, type, proto, flags))
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """As asyncio's, by gevent's resolver."""
        name: tuple[str, str] = await result_of(gevent.spawn(_cooperative("getnameinfo"), sockaddr, flags))
        return name


def _cooperative(name: str) -> Callable[..., Any]:
    """The socket module's function, which programs may have replaced, where it is patched; else gevent's."""
    module = socket if monkey.is_module_patched("socket") else gevent.socket
    function: Callable[..., Any] = getattr(module, name)
    return function
