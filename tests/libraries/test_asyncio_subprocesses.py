"""Child processes of coroutines, next to those of greenlets: one process has one SIGCHLD."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import gevent
import gevent.subprocess
import pytest
from gevent import monkey

from deadline import DEADLINE_S, wait_for
from loops import on_hub

PIPE = asyncio.subprocess.PIPE
MEGABYTE = bytes(range(256)) * 4096


@on_hub
async def test_a_megabyte_through_a_child():
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    out, err = await child.communicate(MEGABYTE)
    assert out == MEGABYTE
    assert err is None
    assert child.returncode == 0


@on_hub
async def test_a_megabyte_piece_by_piece():
    """With backpressure: the child's pipes hold 64 KiB, so writing and reading must alternate."""
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)

    async def write():
        for start in range(0, len(MEGABYTE), 10_000):
            child.stdin.write(MEGABYTE[start : start + 10_000])
            await child.stdin.drain()
        child.stdin.close()
        await child.stdin.wait_closed()

    _, echoed = await asyncio.gather(write(), child.stdout.read())
    assert echoed == MEGABYTE
    assert await child.wait() == 0


@on_hub
async def test_a_shell_and_its_streams():
    child = await asyncio.create_subprocess_shell(
        "read x; echo out $x; echo err >&2; exit 3", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await child.communicate(b"word\n") == (b"out word\n", b"err\n")
    assert child.returncode == 3


@on_hub
async def test_killed():
    child = await asyncio.create_subprocess_exec("sleep", "60")
    child.kill()
    assert await child.wait() == -signal.SIGKILL


@on_hub
async def test_waiting_with_a_timeout():
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await child.wait()
    assert child.returncode is None
    child.stdin.close()
    assert await child.wait() == 0


@on_hub
async def test_a_child_that_is_gone_before_it_is_waited_for():
    child = await asyncio.create_subprocess_exec("true")
    waits = await asyncio.gather(*(child.wait() for _ in range(5)))
    assert waits == [0] * 5
    assert await child.wait() == 0


@on_hub
async def test_a_program_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        await asyncio.create_subprocess_exec("/nonexistent/program")


@pytest.mark.parametrize("turns", range(6))
@on_hub
async def test_cancelled_while_it_is_started(turns):
    """No matter how far the start has come: the caller is cancelled, and no child is left behind."""
    marker = f"60.{os.getpid()}{turns}"  # seconds, which tell whose they are
    start = asyncio.create_task(asyncio.create_subprocess_exec("sleep", marker, stdin=PIPE, stdout=PIPE))
    for _ in range(turns):
        await asyncio.sleep(0)
    if start.cancel():
        with pytest.raises(asyncio.CancelledError):
            await start
    else:
        child = start.result()
        child.kill()
        await child.communicate()
    wait_for(lambda: marker.encode() not in running_commands(), "the end of the child")


def running_commands():
    """The command lines of our children."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = file.read().split()
    found = b""
    for pid in children:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found += file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since
    return found


@on_hub
async def test_many_at_once_next_to_gevents():
    """Each waits for its own child: neither side may reap the other's."""

    async def ours(number):
        child = await asyncio.create_subprocess_exec("sh", "-c", f"echo {number}; exit {number}", stdout=PIPE)
        out, _ = await child.communicate()
        return int(out), child.returncode

    def gevents(number):
        child = gevent.subprocess.Popen(
            ["sh", "-c", f"echo {number}; exit {number}"], stdout=gevent.subprocess.PIPE
        )
        out, _ = child.communicate()
        return int(out), child.returncode

    greenlets = [gevent.spawn(gevents, number) for number in range(30)]
    outcomes = await asyncio.gather(*map(ours, range(30)))
    assert outcomes == [(number, number) for number in range(30)]
    gevent.joinall(greenlets, timeout=DEADLINE_S, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == outcomes


@on_hub
async def test_a_coroutine_that_uses_the_synchronous_subprocess():
    """subprocess.run in a coroutine waits in gevent; children of other tasks go on."""

    async def blocks(number):
        return int(gevent.subprocess.check_output(["sh", "-c", f"echo {number}"]))

    async def awaits(number):
        child = await asyncio.create_subprocess_exec("sh", "-c", f"echo {number}", stdout=PIPE)
        return int((await child.communicate())[0])

    numbers = [*range(10)]
    assert await asyncio.gather(*map(blocks, numbers), *map(awaits, numbers)) == numbers * 2


@on_hub
async def test_a_conversation_with_a_child():
    program = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE)
    for word in (b"alpha", b"beta", b"gamma"):
        child.stdin.write(word + b"\n")
        await child.stdin.drain()
        assert await child.stdout.readline() == word[::-1] + b"\n"
    child.stdin.close()
    assert await child.wait() == 0


@on_hub
async def test_a_child_that_somebody_else_reaps(caplog):
    """By `waitpid(-1)`, say; gevent never hears of it, the coroutine does: 255, as of asyncio."""
    child = await asyncio.create_subprocess_exec("sleep", "60")
    child.kill()
    monkey.get_original("os", "waitpid")(child.pid, 0)  # natively: the hub can't be faster
    assert await child.wait() == 255
    assert f"child {child.pid} was reaped by somebody else" in caplog.text
