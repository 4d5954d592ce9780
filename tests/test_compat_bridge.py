"""The bridge: greenlets wait for coroutines, coroutines for greenlets, and both end together."""

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import warnings
import weakref
from contextlib import suppress

import gevent
import greenlet
import pytest
from gevent import monkey
from gevent.event import Event
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import compat
from compat import async_to_sync, attached_loop, new_event_loop, result_of, sync_to_async, wait

real_thread_id = monkey.get_original("threading", "get_ident")
variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(autouse=True, params=[gevent.Greenlet, compat.StepGreenlet], ids=lambda kind: kind.__name__)
def _attached(request, monkeypatch):
    loop = attached_loop()
    monkeypatch.setattr(gevent, "spawn", request.param.spawn)
    yield
    assert asyncio.all_tasks(loop) == set()
    loop.detach()
    loop.close()


async def five():
    return 5


async def five_later():
    await asyncio.sleep(0.001)
    return 5


@pytest.mark.parametrize("coroutine", [five, five_later])
def test_a_greenlet_gets_a_coroutines_result(coroutine):
    assert wait(coroutine()) == 5
    assert gevent.spawn(wait, coroutine()).get() == 5


def test_a_coroutine_that_never_suspends_costs_no_turn_of_the_loop():
    turns = []
    attached_loop().call_soon(turns.append, 1)
    assert wait(five()) == 5
    assert turns == []


def test_an_exception_comes_out_as_it_went_in():
    async def fails():
        await asyncio.sleep(0)
        raise KeyError("this")

    with pytest.raises(KeyError, match="this") as caught:
        wait(fails())
    assert "fails" in [entry.name for entry in caught.traceback]


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("greenlet_class", [gevent.Greenlet, compat.StepGreenlet])
def test_what_failed_is_freed_at_once(suspends, greenlet_class):
    """A coroutine that ran out of memory: what it held must not wait for the garbage collector."""
    held = []

    class Large:
        pass

    async def fail():
        large = Large()
        held.append(weakref.ref(large))
        if suspends:
            await asyncio.sleep(0)
        raise MemoryError

    def call():
        with suppress(MemoryError):
            wait(fail(), loop=None)

    gc.disable()
    try:
        attached_loop()
        greenlet_class.spawn(call).get(timeout=20)
        assert held[0]() is None
    finally:
        gc.enable()


def test_sync_code_in_a_coroutine_waits_for_another_to_any_depth():
    async def at(depth):
        return depth if depth == 0 else 1 + wait(at(depth - 1)) + wait(five_later()) - 5

    for depth in (200, 1):  # deeper than what Python's calls may be; and that leaves nothing behind
        assert gevent.spawn(wait, at(depth)).get() == depth


def test_a_first_step_that_blocks_in_gevent():
    async def blocks():
        gevent.sleep(0.001)
        return asyncio.current_task() is not None

    assert wait(blocks())


def test_context_variables_go_across_both_ways():
    """As with `await`."""

    async def sets():
        assert variable.get() == "before"
        await asyncio.sleep(0)
        variable.set("inside")

    def in_a_greenlet():
        assert variable.get() == "inside"
        variable.set("deeper")

    def whole():
        variable.set("before")
        wait(sets())
        assert variable.get() == "inside"
        wait(sync_to_async(in_a_greenlet)())
        return variable.get()

    assert gevent.spawn(whole).get() == "deeper"
    assert variable.get() == "unset"


async def sleeps(ended):
    try:
        await asyncio.sleep(10)
    finally:
        await asyncio.sleep(0.001)
        ended.append(True)


def test_a_timeout_cancels_and_waits_for_the_clean_up():
    ended = []
    with pytest.raises(TimeoutError):
        wait(sleeps(ended), 0.005)
    assert ended


def test_a_gevent_timeout_does_likewise():
    ended = []
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.005):
        wait(sleeps(ended))
    assert ended


def test_killing_the_waiting_greenlet_cancels_the_task():
    ended = []
    waiting = gevent.spawn(wait, sleeps(ended))
    gevent.sleep(0.001)
    waiting.kill()
    assert ended


def test_cancelling_the_awaiting_task_kills_the_greenlet():
    ended = []

    def sleeping():
        try:
            gevent.sleep(10)
        finally:
            gevent.sleep(0.001)
            ended.append(True)

    async def awaits():
        async with asyncio.timeout(0.005):
            await result_of(gevent.spawn(sleeping))

    with pytest.raises(TimeoutError):
        wait(awaits())
    assert ended


def test_cancelling_a_task_whose_step_waits_cancels_what_it_waits_for():
    ended = []

    async def outer():
        wait(sleeps(ended))

    async def main():
        task = asyncio.create_task(outer())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    wait(main())
    assert ended


def test_a_killed_greenlet_raises_where_it_is_awaited():
    async def awaits():
        sleeping = gevent.spawn(gevent.sleep, 10)
        gevent.spawn_later(0.001, sleeping.kill)
        await result_of(sleeping)

    with pytest.raises(gevent.GreenletExit):
        wait(awaits())


def test_the_decorators():
    @async_to_sync
    async def twice(value):
        return 2 * await sync_to_async(lambda: value)()

    assert twice(4) == 8


def test_a_native_function_runs_in_a_real_thread():
    variable_seen, thread = wait(compat.run_in_native_thread(lambda: (variable.get(), real_thread_id())))
    assert variable_seen == "unset"
    assert thread != real_thread_id()


@pytest.mark.parametrize("where", ["callback", "section", "off"])
def test_waiting_where_the_loop_waits_for_the_caller_is_an_error(where):
    async def main():
        loop = asyncio.get_running_loop()
        if where == "callback":
            outcome = loop.create_future()

            def callback():
                try:
                    outcome.set_result(wait(five_later()))
                except RuntimeError as error:
                    outcome.set_exception(error)

            loop.call_soon(callback)
            return await outcome
        if where == "section":
            with compat.no_handoff():
                return wait(five_later())
        loop.hand_off_mode = "off"
        return wait(five_later())

    with pytest.raises(compat.WouldDeadlock):
        wait(main())


def test_a_loop_that_is_closed_tells_who_waits():
    loop = new_event_loop()
    loop.attach()
    future = loop.create_future()
    waiting = gevent.spawn(wait, future)
    waiting.link(lambda _: None)  # its error is expected: the hub needn't print it
    gevent.sleep(0.001)
    loop.detach()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        waiting.get(timeout=5)


@pytest.mark.parametrize("greenlet_class", ["Greenlet", "StepGreenlet"])
def test_a_process_that_ends_with_such_a_task_says_what_asyncio_says(greenlet_class):
    script = f"""
from gevent import monkey; monkey.patch_all()
import asyncio, compat, gevent

gevent.StepGreenlet = compat.StepGreenlet
loop = compat.attached_loop()
waiting = gevent.{greenlet_class}.spawn(compat.wait, asyncio.sleep(10))
waiting.link(lambda _: None)
gevent.sleep(0.01)
loop.detach()
loop.close()
waiting.join()
print(waiting.exception, waiting.exception.__context__)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "Event loop is closed None\n"
    assert "Task was destroyed but it is pending!" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_loop_that_does_not_run_cannot_be_waited_on():
    loop = new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="not running"):
            wait(five(), loop=loop)
    finally:
        loop.close()


def test_threads_that_never_pause_lose_no_callback():
    """Finding 12, from eight native threads."""
    loop, counted, each = attached_loop(), [], 2000

    async def main():
        done = asyncio.Event()

        def count(last):
            counted.append(last)
            if len(counted) == 8 * each:
                done.set()

        def hammer():
            for number in range(each):
                loop.call_soon_threadsafe(count, number)

        await asyncio.gather(*[asyncio.to_thread(hammer) for _ in range(8)])
        async with asyncio.timeout(30):
            await done.wait()

    wait(main())
    assert len(counted) == 8 * each


def test_ten_thousand_tasks_each_blocked_in_a_gevent_call():
    go = Event()

    async def blocked():
        go.wait(30)
        return 1

    async def main():
        tasks = [asyncio.create_task(blocked()) for _ in range(10_000)]
        await asyncio.sleep(0)
        go.set()
        return sum(await asyncio.gather(*tasks))

    assert wait(main()) == 10_000


def test_a_child_that_was_forked_in_a_step_runs_loops_of_its_own():
    script = """
from gevent import monkey; monkey.patch_all()
import asyncio, os, compat

async def main():
    child = os.fork()
    if not child:
        asyncio.events._set_running_loop(None)
        try:
            asyncio.Runner(loop_factory=compat.new_event_loop).run(asyncio.sleep(0.01))
        finally:
            os._exit(7)
    await asyncio.sleep(0.01)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

print(asyncio.Runner(loop_factory=compat.new_event_loop).run(main()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("7\n", "")


@pytest.mark.parametrize("hub", ["libev-cext", "libuv"])
def test_both_of_gevents_loops_and_no_warning(hub):
    """Findings 8, 13, 14 and 15: and what importing us warns of is an error."""
    script = """
from gevent import monkey; monkey.patch_all()
import asyncio, compat, gevent, time

async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await process.communicate(b"through")
    await asyncio.gather(*[asyncio.to_thread(time.sleep, 0) for _ in range(3)])
    await asyncio.gather(*[compat.sync_to_async(time.sleep)(0.001) for _ in range(3)])
    async with asyncio.timeout(5):
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()
        server.close()
    for less_than_libuv_can in (0.0001, 0.0009, 0.0011):
        await asyncio.sleep(less_than_libuv_can)
    return out, process.returncode

print(asyncio.Runner(loop_factory=compat.new_event_loop).run(main()))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "GEVENT_LOOP": hub},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("(b'through', 0)\n", "")


def test_a_loop_that_a_thread_runs_already():
    """In a process whose threads are greenlets, one that blocked before the hub knew of loops."""
    script = """
from gevent import monkey; monkey.patch_all()
import asyncio, threading, gevent

async def beats():
    me = asyncio.get_running_loop()
    for _ in range(20):
        await asyncio.sleep(0.001)
        assert asyncio.get_running_loop() is me
        gevent.sleep(0)
        assert asyncio.get_running_loop() is me
    print("beaten")

thread = threading.Thread(target=lambda: asyncio.run(beats()))
thread.start()
gevent.sleep(0.005)
import compat
print(compat.wait(asyncio.sleep(0.001, "waited")))
thread.join()
print(compat.wait(asyncio.sleep(0.001, "again")))
"""
    # asyncio's own loop waits for less than libuv can, and gevent warns of that.
    strict = ["-W", "error", "-W", "ignore:libuv only supports millisecond"]
    done = subprocess.run(
        [sys.executable, *strict, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("waited\nbeaten\nagain\n", "")


@pytest.mark.parametrize(
    "chosen", ["compat.install()", "asyncio.set_event_loop_policy(compat.HubEventLoopPolicy())"]
)
def test_a_bare_asyncio_run_uses_the_loop_once_installed(chosen):
    """Finding 14.  The policy is for Python up to 3.13; later ones warn of any."""
    script = f"""
import asyncio, compat

async def main():
    return type(asyncio.get_running_loop()).__name__

{chosen}
print(asyncio.run(main()))
loop = asyncio.new_event_loop()
print(type(loop).__name__)
loop.close()
"""
    strict = ["-W", "error"] if sys.version_info < (3, 14) else []
    done = subprocess.run(
        [sys.executable, *strict, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "HubEventLoop\nHubEventLoop\n"


def test_current_thread_is_the_one_that_attached():
    async def thread():
        await asyncio.sleep(0)
        return threading.current_thread()

    assert wait(thread()) is threading.current_thread()


class Bridge(RuleBasedStateMachine):
    """Greenlets and tasks that wait for each other, ended in every order."""

    def __init__(self):
        super().__init__()
        gevent.idle()
        self.before = self.watchers_and_descriptors()
        self.loop = attached_loop()
        self.waiting = []  # greenlets in wait()
        self.tasks = []  # tasks in result_of()
        self.awaited = []  # what they wait for
        self.wrong = []

    async def check(self, delay, depth):
        me = asyncio.current_task()
        try:
            if delay:
                await asyncio.sleep(delay)
            gevent.sleep(0)
            if depth:
                wait(self.check(delay, depth - 1))
            await result_of(gevent.spawn(gevent.sleep, 0))
        finally:
            if asyncio.current_task() is not me or asyncio.get_running_loop() is not self.loop:
                self.wrong.append(me)

    @rule(delay=st.sampled_from([0, 0.001, 5]), depth=st.integers(0, 2))
    def spawn_waiting_greenlet(self, delay, depth):
        self.waiting.append(gevent.spawn(wait, self.check(delay, depth)))

    @rule(delay=st.sampled_from([0, 0.001, 5]))
    def spawn_awaiting_task(self, delay):
        self.awaited.append(gevent.spawn(gevent.sleep, delay))
        self.tasks.append(self.loop.create_task(result_of(self.awaited[-1])))

    @rule(delay=st.sampled_from([0, 0.001]))
    def time_out(self, delay):
        with suppress(TimeoutError):
            wait(self.check(delay, 1), 0.001)

    @rule(data=st.data())
    def kill(self, data):
        if self.waiting:
            self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))).kill()

    @rule(data=st.data())
    def cancel(self, data):
        if self.tasks:
            self.tasks.pop(data.draw(st.integers(0, len(self.tasks) - 1))).cancel()

    @rule(turns=st.integers(1, 5))
    def go_on(self, turns):
        for _ in range(turns):
            gevent.sleep(0)

    @invariant()
    def right(self):
        assert not self.wrong
        assert asyncio._get_running_loop() is None

    @staticmethod
    def watchers_and_descriptors():
        return gevent.get_hub().loop.activecnt, sorted(os.listdir("/proc/self/fd"))

    def teardown(self):
        gevent.killall(self.waiting, timeout=5)
        for task in self.tasks:
            task.cancel()
        with gevent.Timeout(5):
            while asyncio.all_tasks(self.loop):
                gevent.sleep(0)
        gevent.killall(self.awaited, timeout=5)  # those whose task was cancelled before it began
        assert not self.wrong
        assert not self.loop._interrupted
        assert not self.loop._waits_for
        assert not self.loop._waiters
        assert not self.loop._blocked
        self.loop.detach()
        self.loop.close()
        gevent.idle()
        assert self.watchers_and_descriptors() == self.before


def greenlets():
    gc.collect()
    return sum(isinstance(each, greenlet.greenlet) and not each.dead for each in gc.get_objects())


def test_any_order_of_spawn_wait_cancel_kill_and_time_out():
    attached_loop().detach()
    before = greenlets()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a greenlet killed before it began awaited nothing
        run_state_machine_as_test(
            Bridge, settings=settings(max_examples=40, stateful_step_count=20, deadline=None)
        )
    assert greenlets() == before
