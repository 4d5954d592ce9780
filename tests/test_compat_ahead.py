"""The task of a first step is made ahead, and kept for the next coroutine when nobody has noticed it."""

import asyncio
import contextvars
import gc
import sys
import weakref

import gevent
import pytest
from gevent.event import Event

from compat import HubEventLoop, StepGreenlet, attached_loop, start, wait
from deadline import DEADLINE_S


@pytest.fixture(autouse=True)
def _attached(caplog):
    loop = attached_loop()
    yield
    gc.collect()
    assert asyncio.all_tasks(loop) == set()
    loop.detach()
    loop.close()
    assert caplog.get_records("call") + caplog.get_records("teardown") == []  # of tasks that were destroyed


def in_step_greenlet(function):
    return StepGreenlet.spawn(function).get(timeout=DEADLINE_S)


async def identity():
    return id(asyncio.current_task())


def test_coroutines_that_nobody_looks_into_have_one_task():
    async def quiet():
        with pytest.raises(LookupError):
            raise LookupError
        return id(asyncio.current_task())

    assert in_step_greenlet(lambda: len({wait(quiet()) for _ in range(10)})) == 1


kept = []


async def keeps_its_task():
    kept.append(asyncio.current_task())
    return id(kept[-1])


async def keeps_a_weak_reference():
    kept.append(weakref.ref(asyncio.current_task()))
    return await identity()


async def names_its_task():
    asyncio.current_task().set_name("mine")
    return await identity()


async def marks_its_task():
    asyncio.current_task().mark = "mine"
    return await identity()


async def adds_a_callback():
    asyncio.current_task().add_done_callback(kept.append)
    return await identity()


async def takes_its_own_cancellation_back():
    asyncio.current_task().cancel()
    assert asyncio.current_task().cancelling() == 1
    assert asyncio.current_task().uncancel() == 0
    return await identity()


async def blocks():
    gevent.sleep(0)
    return await identity()


async def suspends():
    await asyncio.sleep(0)
    return await identity()


@pytest.mark.parametrize(
    "notices",
    [
        keeps_its_task,
        keeps_a_weak_reference,
        names_its_task,
        marks_its_task,
        adds_a_callback,
        takes_its_own_cancellation_back,
        blocks,
        suspends,
    ],
)
def test_after_one_that_looks_the_next_has_another(notices):
    async def untouched():
        task = asyncio.current_task()
        return (task.get_name(), getattr(task, "mark", None), task.cancelling())

    def work():
        wait(identity())
        number = wait(notices())
        name, mark, cancelling = wait(untouched())
        assert name.startswith("Task-")
        assert mark is None
        assert cancelling == 0
        if notices is keeps_a_weak_reference:
            gc.collect()
            assert kept[-1]() is None
        again = wait(identity())
        return number, again

    try:
        number, again = in_step_greenlet(work)
        wait(asyncio.sleep(0))
        if kept and isinstance(kept[-1], asyncio.Task):
            assert kept[-1].done()
            assert kept[-1].result() == number == id(kept[-1]) != again
        assert notices is not adds_a_callback or kept
    finally:
        kept.clear()


def test_a_task_that_was_kept_has_the_error(caplog):
    async def fails():
        kept.append(asyncio.current_task())
        raise ValueError("said")

    def work():
        with pytest.raises(ValueError, match="said") as raised:
            wait(fails())
        return raised.value, [frame.name for frame in raised.traceback]

    error, names = in_step_greenlet(work)
    assert "_after" not in names  # the task's own way to its error is nobody's business
    assert kept[0].exception() is error
    kept.clear()
    gc.collect()
    assert caplog.records == []


def test_others_may_wait_for_a_task_that_ended_in_its_first_step():
    async def other(task):
        return await task

    async def ends():
        kept.append(asyncio.get_running_loop().create_task(other(asyncio.current_task())))
        return "result"

    assert in_step_greenlet(lambda: wait(ends())) == "result"
    assert wait(kept.pop()) == "result"


def test_who_cancels_himself_and_suspends_is_cancelled_and_what_he_awaits():
    async def cancels():
        asyncio.current_task().cancel("enough")
        future = asyncio.get_running_loop().create_future()
        kept.append(future)
        try:
            await future
        except asyncio.CancelledError:
            assert asyncio.current_task().cancelling() == 1
            raise

    def work():
        with pytest.raises(asyncio.CancelledError):
            wait(cancels())

    in_step_greenlet(work)
    assert kept.pop().cancelled()


@pytest.mark.parametrize("greenlet_class", [gevent.Greenlet, StepGreenlet])
@pytest.mark.parametrize("then_blocks", [False, True])
def test_who_cancels_himself_and_returns_was_cancelled(greenlet_class, then_blocks):
    """As in asyncio."""

    async def cancels():
        asyncio.current_task().cancel()
        if then_blocks:
            gevent.sleep(0)

    def work():
        with pytest.raises(asyncio.CancelledError):
            wait(cancels())

    greenlet_class.spawn(work).get(timeout=DEADLINE_S)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancels())


@pytest.mark.parametrize("greenlet_class", [gevent.Greenlet, StepGreenlet])
def test_who_is_cancelled_while_blocked_and_returns_was_not(greenlet_class):
    go_on = Event()

    async def blocked():
        go_on.wait(DEADLINE_S)
        return "result"

    waiting = greenlet_class.spawn(wait, blocked())
    gevent.idle()
    [task] = asyncio.all_tasks(attached_loop())
    assert task.cancel()
    go_on.set()
    assert waiting.get(timeout=DEADLINE_S) == "result"


def test_a_coroutine_that_swallows_its_cancellation_goes_on():
    async def goes_on():
        task = asyncio.current_task()
        said = []
        for _ in range(3):
            asyncio.get_running_loop().call_soon(task.cancel)
            try:
                await asyncio.sleep(DEADLINE_S)
            except asyncio.CancelledError:
                said.append(task.uncancel())
        return said

    async def answers_at_once():
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        try:
            await asyncio.sleep(DEADLINE_S)
        except asyncio.CancelledError:
            return "cancelled, and well"

    assert in_step_greenlet(lambda: wait(goes_on())) == [0, 0, 0]
    assert in_step_greenlet(lambda: wait(answers_at_once())) == "cancelled, and well"


def test_an_error_that_was_handled_leaves_no_trace():
    """In sys.exc_info(), or as the context of what is raised later on."""

    async def handles():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("handled"))
        with pytest.raises(KeyError):
            await future
        found = sys.exc_info()
        try:
            raise LookupError
        except LookupError as error:
            return found, error.__context__

    assert in_step_greenlet(lambda: wait(handles())) == ((None, None, None), None)


def test_an_idle_greenlet_keeps_no_result():
    class Large:
        pass

    async def large():
        return Large()

    def work():
        result = weakref.ref(wait(large()))
        return result()

    gc.disable()
    try:
        assert in_step_greenlet(work) is None
    finally:
        gc.enable()


def test_a_task_that_waits_for_its_coroutine_has_a_representation():
    """A debugger finds it."""

    def work():
        wait(identity())
        return repr(gevent.getcurrent().ahead.task)

    assert "AheadTask pending" in in_step_greenlet(work)


def test_cancelled_by_a_first_step_inside_its_own():
    async def inner(task):
        task.cancel()

    async def outer():
        start(inner(asyncio.current_task()))
        await asyncio.sleep(0)

    def work():
        with pytest.raises(asyncio.CancelledError):
            wait(outer())

    in_step_greenlet(work)


def test_a_blocked_first_step_is_one_of_all_tasks():
    go_on = Event()

    async def blocked():
        go_on.wait()

    def work():
        wait(identity())
        assert asyncio.all_tasks(attached_loop()) == set()
        wait(blocked())

    waiting = StepGreenlet.spawn(work)
    gevent.idle()
    [task] = asyncio.all_tasks(attached_loop())
    assert "blocked" in repr(task)
    assert task.get_coro().__name__ == "blocked"
    del task
    go_on.set()
    waiting.get(timeout=DEADLINE_S)


def test_a_suspended_one_shows_its_coroutine():
    async def suspended():
        await asyncio.sleep(0.01)
        return asyncio.current_task().get_coro().__name__, repr(asyncio.current_task())

    name, shown = in_step_greenlet(lambda: wait(suspended()))
    assert name == "suspended"
    assert "suspended" in shown


def test_another_context_has_another_task():
    variable = contextvars.ContextVar("variable", default="unset")

    async def look():
        task = asyncio.current_task()
        await asyncio.sleep(0)
        assert asyncio.current_task() is task
        return variable.get()

    def work():
        wait(identity())
        context = contextvars.copy_context()
        context.run(variable.set, "inside")
        return wait(look()), context.run(wait, look()), wait(look())

    assert in_step_greenlet(work) == ("unset", "inside", "unset")


@pytest.mark.parametrize("suspends_first", [False, True])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_is_the_waiting_greenlets_alone(error, suspends_first):
    async def leaves():
        if suspends_first:
            await asyncio.sleep(0)
        raise error("said")

    def work():
        with pytest.raises(error, match="said"):
            wait(leaves())
        return wait(asyncio.sleep(0, "the loop goes on"))

    assert in_step_greenlet(work) == "the loop goes on"
    assert gevent.spawn(work).get(timeout=DEADLINE_S) == "the loop goes on"


def test_an_asynchronous_generator_belongs_to_the_loop_whose_step_began_it():
    """Though another loop, of asyncio's own, runs in between, whose hooks are the thread's then."""
    ends = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ends.append(asyncio.get_running_loop())

    async def begins():
        async for _ in numbers():
            break
        gc.collect()

    async def of_asyncios_own():
        async for _ in numbers():
            break
        gevent.sleep(0)  # the hub's loop has its turn
        wait(begins())  # and is called directly
        kept.append(numbers())
        await anext(kept[-1])
        for _ in range(5):  # the first one's end takes some turns
            await asyncio.sleep(0)

    def work():
        wait(begins())
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            own = runner.get_loop()
            runner.run(of_asyncios_own())
            waiting = StepGreenlet.spawn(lambda: wait(begins()))
            runner.run(of_asyncios_own())
            waiting.get(timeout=DEADLINE_S)
        wait(begins())
        wait(asyncio.sleep(0.01))
        return own

    own = in_step_greenlet(work)
    kept.clear()
    assert [type(loop) for loop in ends].count(HubEventLoop) == 5
    assert ends.count(own) == 4
