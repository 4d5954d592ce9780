"""A service whose handler does what no handler should: WSGI, Thrift and ASGI with the same misdeeds.

`make_wsgi`, `make_asgi` and so on are application factories; the misdeed is the path without its slash, or
the argument of `echo`.  Anything else is answered with "fine".
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import logging
import os
import resource
import socket
import sys
import time

import gevent

from testing_idl import Testing


class Odd(BaseException):
    pass


def raise_base_exception():
    raise Odd("neither an Exception nor an exit")


def raise_keyboard_interrupt():
    raise KeyboardInterrupt


def raise_greenlet_exit():
    raise gevent.GreenletExit


def raise_timeout():
    raise gevent.Timeout(1)


def call_exit():
    sys.exit("usage: ...")


def kill_itself():
    gevent.getcurrent().kill()


def recurse():
    recurse()


# A child that ends before its parent goes on: on a busy machine they often do.
os.register_at_fork(after_in_parent=functools.partial(ctypes.CDLL(None).usleep, 100_000))


def fork():
    """A child of its own, which ends at once, as `subprocess` without exec does."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def fork_and_return():
    """A child that goes on as if it were the worker, and exits some time."""
    if os.fork() == 0:
        sys.exit(0)


def fork_and_stay():
    """A child that works on by itself, in a greenlet of its own, until somebody ends it."""
    if os.fork() == 0:
        gevent.spawn(work_on).join()


def work_on():
    while True:
        gevent.sleep(0.05)
        logging.getLogger(__name__).warning("the child works on")


def take_memory():
    """More than this process may have."""
    size, _ = resource.getrlimit(resource.RLIMIT_AS)
    return bytearray(size)


def take_memory_in_pieces():
    """Until nothing is left, not even for the error."""
    pieces = []
    while True:
        pieces.append(bytearray(1 << 20))
        pieces.append([object() for _ in range(1000)])


_kept = []


def leak():
    """A part of what this process may have, for good."""
    _kept.append(b"x" * (32 << 20))


def spin():
    while True:
        pass


def block():
    """In C, where no greenlet can run."""
    ctypes.PyDLL(None).usleep(300_000)


def sleep():
    logging.getLogger(__name__).warning("sleeping")
    time.sleep(3600)


def hang_in_native_threads():
    """As getaddrinfo() does while no name server answers."""
    logging.getLogger(__name__).warning("resolving")
    gevent.get_hub().threadpool.apply(ctypes.CDLL(None).sleep, (3600,))


def resolve():
    logging.getLogger(__name__).warning("resolving")
    socket.getaddrinfo("nobody.example", 80)


def misbehave(name):
    if name in MISDEEDS:
        MISDEEDS[name]()
    return str(os.getpid()) if name == "who" else "fine"


MISDEEDS = {
    function.__name__: function
    for function in (
        raise_base_exception,
        raise_keyboard_interrupt,
        raise_greenlet_exit,
        raise_timeout,
        call_exit,
        kill_itself,
        recurse,
        fork,
        fork_and_return,
        fork_and_stay,
        take_memory,
        take_memory_in_pieces,
        spin,
        block,
        sleep,
        hang_in_native_threads,
        resolve,
        leak,
    )
}


def _limit_memory(config):
    if "memory" in config:
        resource.setrlimit(resource.RLIMIT_AS, (int(config["memory"]), int(config["memory"])))


def make_wsgi(config):
    _limit_memory(config)

    def app(environ, start_response):
        reply = misbehave(environ["PATH_INFO"][1:]).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(reply)))])
        return [reply]

    return app


def make_asgi(config):
    _limit_memory(config)

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        if scope["path"] == "/sleep":
            logging.getLogger(__name__).warning("sleeping")
        await asyncio.sleep(3600 if scope["path"] == "/sleep" else 0)
        reply = misbehave(scope["path"][1:]).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(reply))],
            }
        )
        await send({"type": "http.response.body", "body": reply})

    return app


class Handler:
    def echo(self, text):
        return misbehave(text)


class AsyncHandler:
    async def echo(self, text):
        await asyncio.sleep(0)
        return misbehave(text)


def make_thrift(config):
    _limit_memory(config)
    return Testing.Processor(Handler())


def make_async_thrift(config):
    _limit_memory(config)
    return Testing.Processor(AsyncHandler())
