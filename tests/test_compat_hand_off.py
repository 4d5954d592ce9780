"""The hand-off: what a blocking call in a coroutine does to everybody else, and what it must not do."""

import asyncio
import contextvars
import gc
import logging
import os
import select
import socket
import threading
import time

import gevent
import gevent.lock
import greenlet
import pytest
from gevent.event import Event

import compat
from compat import HandOff, new_event_loop
from deadline import wait_for


def run(main, **settings):
    """The result of the coroutine on a loop of its own; what the exception handler got is an error."""
    complaints = []
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        for name, value in settings.items():
            setattr(loop, name, value)
        result = runner.run(main)
    assert not complaints
    return result


# asyncio's own loop waits in gevent for as long as it likes.
OTHER_LOOP = pytest.mark.filterwarnings("ignore:libuv only supports millisecond:UserWarning")


def test_poll_asks_without_a_hand_off():
    """With a timeout of zero it doesn't wait, so that no other task may run meanwhile."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            asking = select.poll()
            asking.register(ours, select.POLLIN)
            before = loop.hand_offs
            assert asking.poll(0) == []
            theirs.send(b"x")
            assert asking.poll(0) == [(ours.fileno(), select.POLLIN)]
            asking.modify(ours, select.POLLIN | select.POLLOUT)
            assert asking.poll(0) == [(ours.fileno(), select.POLLIN | select.POLLOUT)]
            assert loop.hand_offs == before
            assert asking.poll(1000)  # waits, as far as that is needed, in the hub
            assert loop.hand_offs == before + 1

    run(main())


def test_a_blocking_call_suspends_its_task_alone():
    """A hundred tasks wait in a gevent call for the hundred-and-first."""
    go = Event()

    async def blocked():
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        go.wait(10)
        assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, me)

    async def main():
        tasks = [asyncio.create_task(blocked()) for _ in range(100)]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        return asyncio.get_running_loop().hand_offs

    assert run(main()) == 100


@OTHER_LOOP
def test_other_greenlets_see_no_running_loop():
    """Finding 5: so each of them may run a loop of its own."""

    async def own():
        await asyncio.sleep(0.001)
        return 1

    async def main():
        return await compat.result_of(gevent.spawn(asyncio.run, own()))

    assert run(main()) == 1


@pytest.mark.parametrize("other", [asyncio.SelectorEventLoop, new_event_loop])
def test_two_loops_interleave_and_each_step_knows_its_own(other):
    """Finding 5, with asyncio's own loop, whose selector is patched, in a greenlet beside ours."""

    async def blocks(times):
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        for _ in range(times):
            gevent.sleep(0)
            assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, me)
            await asyncio.sleep(0)
            assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, me)
        return type(loop)

    def in_greenlet():
        with asyncio.Runner(loop_factory=other) as runner:
            return runner.run(blocks(50))

    async def main():
        beside = [gevent.spawn(in_greenlet) for _ in range(3)]
        await asyncio.gather(*[blocks(50) for _ in range(3)])
        return [await compat.result_of(greenlet) for greenlet in beside]

    expected = compat.HubEventLoop if other is new_event_loop else other
    assert run(main()) == [expected] * 3


def test_a_million_hand_offs():
    """Nothing piles up: neither runners nor memory."""

    async def hands_off(times):
        for _ in range(times):
            gevent.sleep(0)

    def runners():
        return sum(isinstance(o, compat._runner.Runner) for o in gc.get_objects())

    async def main(times):
        await asyncio.gather(*[hands_off(times) for _ in range(20)])
        return asyncio.get_running_loop().hand_offs

    assert run(main(1000)) == 20_000  # as much memory as it takes
    gc.collect()
    before, resident = runners(), resident_bytes()
    assert run(main(50_000)) == 1_000_000
    gc.collect()
    assert runners() <= before
    assert resident_bytes() - resident < 4 << 20


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("scope", ["timeout", "TaskGroup"])
def test_no_stray_cancellation_after_a_scope_that_was_left_while_its_task_was_blocked(scope):
    """Finding 1: the cancellation came in the middle of a step, and hit the next await outside."""
    go = Event()

    async def fails():
        gevent.spawn_later(0.01, go.set)
        raise ValueError

    async def main():
        if scope == "timeout":
            async with asyncio.timeout(0.001):  # noqa: ASYNC100 (that is the finding)
                gevent.spawn_later(0.01, go.set)
                go.wait(10)
        else:
            with pytest.raises(ExceptionGroup):  # noqa: PT012 (what the scope raises as it is left)
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
                    go.wait(10)
        await asyncio.sleep(0.001)
        return asyncio.current_task().cancelling()

    assert run(main()) == 0


def test_a_cancellation_from_outside_waits_for_the_step_to_end():
    go = Event()
    seen = []

    async def blocked():
        go.wait(10)
        seen.append("through")
        await asyncio.sleep(10)

    async def main():
        task = asyncio.create_task(blocked())
        await asyncio.sleep(0)
        assert task.cancel()
        assert task.cancelling() == 1
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == ["through"]


async def count_to_twenty(counter, guard):
    async def one():
        with guard():
            value = counter[0]
            gevent.sleep(0.001)
            counter[0] = value + 1

    await asyncio.gather(*[one() for _ in range(20)])


def test_code_between_two_awaits_is_interleaved_where_it_blocks():
    """Finding 2: this is what a hand-off costs; the documentation says so."""
    counter = [0]
    run(count_to_twenty(counter, lambda: gevent.lock.DummySemaphore()))
    assert counter[0] < 20


@pytest.mark.parametrize(
    ("guard", "mode"), [(compat.no_handoff, "task"), (gevent.lock.DummySemaphore, "off")]
)
def test_and_is_not_where_that_is_forbidden(guard, mode):
    counter = [0]
    run(count_to_twenty(counter, guard), hand_off_mode=mode)
    assert counter[0] == 20


def test_in_mode_error_a_blocking_call_names_its_line():
    async def main():
        gevent.sleep(0)

    with pytest.raises(compat.BlockingCall, match=rf"{os.path.basename(__file__)}:\d+ in main"):
        run(main(), hand_off_mode=HandOff.ERROR)


def test_protocol_callbacks_are_never_interleaved():
    """Finding 2: a blocking call in one holds the loop."""
    order = []

    class Slow(asyncio.Protocol):
        def data_received(self, data):
            order.append(data)
            gevent.sleep(0.005)
            order.append(data)

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Slow, sock=ours)
        loop.call_soon(theirs.send, b"a")
        while len(order) < 2:
            await asyncio.sleep(0.001)
            assert len(order) != 1
        transport.close()
        theirs.close()
        return loop.holds

    assert run(main()) == 1


def test_a_reader_that_is_suspended_does_not_run_a_second_time():
    """Finding 3: its descriptor stays ready."""
    running, most, calls = 0, 0, 0

    async def main():
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        ours, theirs = socket.socketpair()

        def readable():
            nonlocal running, most, calls
            running, calls = running + 1, calls + 1
            most = max(most, running)
            gevent.sleep(0.005)
            running -= 1
            if calls == 3:
                loop.remove_reader(ours)
                done.set()

        loop.add_reader(ours, readable)
        theirs.send(b"never read")
        await done.wait()
        ours.close()
        theirs.close()

    run(main())
    assert (most, calls) == (1, 3)


def test_two_suspended_steps_may_share_a_context():
    """Finding 4: Context.run() would raise, and the callback would be lost."""
    variable = contextvars.ContextVar("variable")

    async def main():
        variable.set("shared")
        context = contextvars.copy_context()
        seen = []

        async def step():
            gevent.sleep(0.001)
            seen.append(variable.get())

        await asyncio.gather(*[asyncio.create_task(step(), context=context) for _ in range(3)])
        return seen

    assert run(main()) == ["shared"] * 3


def test_a_busy_loop_lets_the_hub_poll():
    """Finding 7: with steps of 2 ms, I/O waited for fifty of them."""

    async def main():
        stop = False

        async def busy():
            while not stop:
                began = time.perf_counter()
                while time.perf_counter() - began < 0.002:
                    pass
                await asyncio.sleep(0)

        task = asyncio.create_task(busy())
        ours, theirs = socket.socketpair()
        waits = []
        for _ in range(5):
            reader = gevent.spawn(ours.recv, 1)
            gevent.sleep(0)
            began = time.perf_counter()
            theirs.send(b"x")
            reader.join()
            waits.append(time.perf_counter() - began)
        stop = True
        await task
        ours.close()
        theirs.close()
        return sorted(waits)[2]

    assert run(main()) < 0.04  # fifty steps would be 0.1


@pytest.mark.parametrize(
    "kind", ["step", "attached in a greenlet", "raw greenlet", "StepGreenlet", "raw greenlet of one"]
)
def test_steps_know_their_thread_and_threading_counts_it_once(kind):
    """Finding 9: not Dummy-17."""
    before = threading.enumerate()

    def look():
        gevent.sleep(0)
        assert threading.enumerate() == before
        return threading.current_thread()

    async def step():
        return greenlet.greenlet(look).switch() if kind.startswith("raw greenlet") else look()

    if kind == "attached in a greenlet":
        assert gevent.spawn(compat.wait, step()).get() is threading.current_thread()
        loop = compat.attached_loop()
        loop.detach()
        loop.close()
    elif "of one" in kind or kind == "StepGreenlet":
        loop = compat.attached_loop()
        found = [each.get() for each in [compat.StepGreenlet.spawn(compat.wait, step()) for _ in range(3)]]
        loop.detach()
        loop.close()
        assert found == [threading.current_thread()] * 3
    else:
        assert run(step()) is threading.current_thread()


def test_a_closed_loop_leaves_no_thread_behind():
    """`threading.active_count()` would grow until the next collection, with each loop whose task failed."""

    async def fail():
        raise ZeroDivisionError

    before = threading.active_count()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                run(fail(), _debug=True)
        assert threading.active_count() == before
    finally:
        gc.enable()


def test_thread_locals_last_from_step_to_step_of_the_first_runner():
    """Finding 9."""
    local = threading.local()

    async def main():
        local.value = 5
        asyncio.get_running_loop().create_task(asyncio.to_thread(time.sleep, 0))
        await asyncio.sleep(0.001)
        return local.value

    assert run(main()) == 5


EAGER_TASKS = pytest.mark.skipif(
    not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 brought eager tasks"
)


@EAGER_TASKS
@pytest.mark.parametrize("keyword", [False, True])
def test_an_eager_task_made_outside_of_a_step_waits_for_its_turn(keyword):
    """Finding 10: on 3.12 and 3.13 it would corrupt the current task."""

    async def where():
        return asyncio.current_task()

    async def main():
        loop = asyncio.get_running_loop()
        if keyword:
            how = {"eager_start": True}
        else:
            how = {}
            loop.set_task_factory(asyncio.eager_task_factory)

        def make():
            task = loop.create_task(where(), **how)
            return task, task.done()

        me = asyncio.current_task()
        task, done = gevent.spawn(make).get()
        assert not done
        assert asyncio.current_task() is me
        assert await task is task

    run(main())


@EAGER_TASKS
@pytest.mark.parametrize("keyword", [False, True])
def test_an_eager_task_takes_its_first_step_at_once_and_is_one_of_ours(keyword):
    """Else a timeout in it that expires while it is blocked would leave a cancellation behind: finding 1."""
    steps = []

    async def eager():
        steps.append("first")
        await asyncio.sleep(0)
        async with asyncio.timeout(0.001):  # noqa: ASYNC100 (that is the finding)
            gevent.sleep(0.01)
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    async def main():
        loop, how = asyncio.get_running_loop(), {"eager_start": True} if keyword else {}
        if not keyword:
            loop.set_task_factory(asyncio.eager_task_factory)
        task = loop.create_task(eager(), name="mine", **how)
        assert steps == ["first"]
        assert task.get_name() == "mine"
        return await task

    assert run(main()) == 0


@EAGER_TASKS
@pytest.mark.parametrize("keyword", [False, True])
def test_an_eager_task_knows_where_it_was_made(keyword):
    """In debug mode; one whose first step turns that on was made without."""

    async def debugs(on):
        asyncio.get_running_loop().set_debug(on)

    async def main():
        loop, how = asyncio.get_running_loop(), {"eager_start": True} if keyword else {}
        if not keyword:
            loop.set_task_factory(asyncio.eager_task_factory)
        await loop.create_task(debugs(True), **how)
        task = loop.create_task(debugs(False), **how)
        await task
        return task._source_traceback[-1]

    frame = run(main())
    assert frame.filename == __file__
    assert "loop.create_task(debugs(False)" in frame.line


def test_cancelling_a_blocked_task_again_and_again_costs_no_processor():
    """Finding 11: anyio tries in every turn of the loop."""
    import anyio

    async def main():
        tries = 0
        task_class = type(asyncio.current_task())
        real = task_class.cancel

        def counted(task, msg=None):
            nonlocal tries
            tries += 1
            return real(task, msg)

        task_class.cancel = counted
        try:
            async with anyio.create_task_group() as group:

                async def blocked():
                    gevent.sleep(0.2)

                group.start_soon(blocked)
                await asyncio.sleep(0)
                group.cancel_scope.cancel()
        finally:
            task_class.cancel = real
        return tries

    assert run(main()) < 200


def test_a_loop_that_waits_for_another_thread_is_no_dead_end():
    """Finding 12: the hub would raise LoopExit."""

    async def main():
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        gevent.get_hub().threadpool.spawn(lambda: loop.call_soon_threadsafe(woken.set))
        await woken.wait()

    run(main())


@OTHER_LOOP
def test_asynchronous_generators_belong_to_the_loop_they_ran_in():
    """Finding 16: the hooks are the thread's, and another loop may have set its own."""
    closed = []

    async def generator():
        try:
            yield 1
            yield 2
        finally:
            closed.append(asyncio.get_running_loop())

    async def main():
        other = gevent.spawn(asyncio.run, asyncio.sleep(0.01))
        await asyncio.sleep(0.002)
        async for _ in generator():
            break
        gc.collect()
        await compat.result_of(other)
        await asyncio.sleep(0.001)
        return asyncio.get_running_loop()

    ran_on = run(main())
    assert closed == [ran_on]


def test_debug_mode_names_the_task_and_the_line(caplog):
    async def main():
        asyncio.get_running_loop().set_debug(True)
        asyncio.current_task().set_name("the-one")
        gevent.sleep(0.001)

    run(main())
    (record,) = [record for record in caplog.records if "handed the loop over" in record.getMessage()]
    assert "the-one" in record.getMessage()
    assert f"{os.path.basename(__file__)}:" in record.getMessage()


def test_debug_mode_reports_slow_callbacks_and_not_blocked_ones(caplog):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.02
        await asyncio.sleep(0)
        gevent.sleep(0.03)
        await asyncio.sleep(0)
        assert loop.slow_callbacks == 0
        began = time.perf_counter()
        while time.perf_counter() - began < 0.03:
            pass
        await asyncio.sleep(0)
        return loop.slow_callbacks

    assert run(main()) == 1
    assert "Executing <" in caplog.text


def test_of_the_runners_that_a_burst_of_blocked_tasks_took_some_are_kept():
    """Finding 2: a bound."""
    go = Event()

    async def blocked():
        go.wait(10)

    async def main():
        tasks = [asyncio.create_task(blocked()) for _ in range(100)]
        await asyncio.sleep(0)
        assert runners() >= 100
        go.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)
        return runners()

    def runners():
        gc.collect()
        ours = [each for each in gc.get_objects() if isinstance(each, compat._runner.Runner)]
        return sum(each.parent is not None and not each.dead for each in ours) - before

    before = 0
    before = runners()
    assert 32 <= run(main()) <= 34  # the first one, and the one that looks


def test_a_descriptor_that_is_watched_again_and_again_has_one_watcher():
    """Finding 13: to make one costs as much as ten starts and stops."""

    class Counting:
        def __init__(self, hub_loop):
            self.hub_loop, self.made = hub_loop, 0

        def __getattr__(self, name):
            return getattr(self.hub_loop, name)

        def io(self, *args):
            self.made += 1
            return self.hub_loop.io(*args)

    async def main():
        loop = asyncio.get_running_loop()
        counting = loop._hub_loop = Counting(loop._hub_loop)
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        for _ in range(20):
            writer.transport.pause_reading()
            writer.transport.resume_reading()
            theirs.send(b"x")
            assert await reader.readexactly(1) == b"x"
        writer.close()
        theirs.close()
        return counting.made

    assert run(main()) == 1


def test_a_descriptor_that_is_not_needed_is_closed_at_once():
    """Finding 8: gevent's os.close waits for a turn of the hub, which may not come."""

    child = os.posix_spawnp("true", ["true"], {})

    async def main():
        loop = asyncio.get_running_loop()
        before, found = set(os.listdir("/proc/self/fd")), loop.create_future()
        loop._when_ended(child, lambda: found.set_result(set(os.listdir("/proc/self/fd"))))
        return await found - before

    assert run(main()) == set()
    os.waitpid(child, 0)


def test_an_exception_handler_that_exits_ends_the_run_and_no_runner():
    """One that is parked, and is given work when the loop is run again."""
    go_on = Event()

    def leaves(loop, context):
        raise SystemExit("from the handler")

    def fails():
        raise LookupError

    async def main():
        asyncio.get_running_loop().call_soon(fails)
        go_on.wait(10)  # in another runner, then
        await asyncio.sleep(10)

    async def again():
        return compat.wait(asyncio.sleep(0.001, "again"))  # its first step takes a runner that is parked

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(leaves)
        task = loop.create_task(main())
        with pytest.raises(SystemExit, match="from the handler"):
            loop.run_forever()
        task.cancel()
        go_on.set()
        assert runner.run(again()) == "again"


def test_nothing_is_logged_in_the_hub(caplog):
    """Finding 16: a handler may block, and the hub must not."""
    blocked = []

    class Blocks(logging.Handler):
        def emit(self, record):
            gevent.sleep(0)  # in the hub it raises
            blocked.append(record.getMessage().partition("\n")[0])

    class Fails(asyncio.Protocol):
        def data_received(self, data):
            raise LookupError("a protocol's")

    def fails():
        raise LookupError("a callback's")

    async def expires():
        with gevent.Timeout(0.001):
            await asyncio.sleep(1)

    async def waits():
        gevent.sleep(0.001)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Fails, sock=ours)
        theirs.send(b"x")
        loop.call_soon(fails)
        loop.call_later(0.001, fails)
        loop.call_soon_threadsafe(fails)
        await asyncio.gather(expires(), waits(), return_exceptions=True)
        loop.create_future().set_exception(LookupError("nobody asks for it"))
        await asyncio.sleep(0.01)
        transport.close()
        theirs.close()

    handler = Blocks()
    logging.getLogger("asyncio").addHandler(handler)
    try:
        asyncio.Runner(loop_factory=new_event_loop).run(main())
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
    for what in (
        "fails()",
        "data_received",
        "seconds=0.001",
        "handed the loop over",
        "never retrieved",
    ):
        assert any(what in message for message in blocked), (what, blocked)


def test_nothing_is_left_behind():
    """Runners, watchers and descriptors of a thousand loops."""

    async def main():
        gevent.sleep(0)
        await asyncio.sleep(0)

    run(main())
    gc.collect()
    before = (
        len(os.listdir("/proc/self/fd")),
        sum(isinstance(o, compat._runner.Runner) for o in gc.get_objects()),
    )
    for _ in range(200):
        run(main())
    gc.collect()
    wait_for(lambda: sum(isinstance(o, compat._runner.Runner) for o in gc.get_objects()) <= before[1])
    assert len(os.listdir("/proc/self/fd")) == before[0]
