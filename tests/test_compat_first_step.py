"""First steps that a `StepGreenlet` takes itself."""

import asyncio
import contextvars
import threading

import gevent
import greenlet
import pytest
from gevent.event import Event
from sqlalchemy.util import await_only, greenlet_spawn

from compat import StepGreenlet, attached_loop, wait
from deadline import DEADLINE_S

variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(autouse=True)
def _attached():
    loop = attached_loop()
    yield
    assert asyncio.all_tasks(loop) == set()
    loop.detach()
    loop.close()


def in_step_greenlet(function):
    return StepGreenlet.spawn(function).get(timeout=DEADLINE_S)


def test_the_first_step_is_in_the_calling_greenlet_and_the_next_is_not():
    where = []

    async def steps():
        where.append(greenlet.getcurrent())
        await asyncio.sleep(0)
        where.append(greenlet.getcurrent())

    def work():
        wait(steps())
        return greenlet.getcurrent()

    here = in_step_greenlet(work)
    assert where[0] is here
    assert where[1] is not here


def test_it_is_a_tasks_step_with_the_callers_context_and_thread():
    async def look():
        variable.set("by the step")
        return asyncio.current_task(), asyncio.get_running_loop(), threading.current_thread()

    def work():
        variable.set("by the caller")
        task, loop, thread = wait(look())
        assert asyncio._get_running_loop() is None
        with pytest.raises(RuntimeError):
            asyncio.current_task()
        return task, loop, thread, variable.get()

    task, loop, thread, value = in_step_greenlet(work)
    assert task.done()
    assert loop is attached_loop()
    assert thread is threading.main_thread()
    assert value == "by the step"


def test_sync_code_that_the_step_put_into_a_greenlet_finds_its_task_later():
    """SQLAlchemy's greenlet is made in the first step and gives control back in later ones."""

    async def echo(value):
        await asyncio.sleep(0)
        return value

    def sync_code():
        return [await_only(echo(number)) for number in range(5)]

    def work():
        return wait(greenlet_spawn(sync_code))

    callers = [StepGreenlet.spawn(work) for _ in range(20)]
    assert [caller.get(timeout=DEADLINE_S) for caller in callers] == [[*range(5)]] * 20


def test_a_step_that_blocks_lets_everything_else_go_on():
    go_on = Event()
    before = attached_loop().hand_offs

    async def blocks():
        go_on.wait()
        return asyncio.current_task() is not None and asyncio.get_running_loop() is attached_loop()

    async def other():
        await asyncio.sleep(0)
        return "meanwhile"

    blocked = StepGreenlet.spawn(wait, blocks())
    gevent.idle()
    assert in_step_greenlet(lambda: wait(other())) == "meanwhile"
    assert attached_loop().hand_offs == before + 1
    go_on.set()
    assert blocked.get(timeout=DEADLINE_S) is True


def test_killed_while_its_step_is_blocked():
    ends = []

    async def blocks():
        try:
            Event().wait()
        except greenlet.GreenletExit:
            ends.append("exit")
            raise
        finally:
            ends.append("finally")

    blocked = StepGreenlet.spawn(wait, blocks())
    gevent.idle()
    blocked.kill(timeout=DEADLINE_S)
    assert ends == ["exit", "finally"]
    assert wait(asyncio.sleep(0, "well")) == "well"


def test_killed_while_its_task_is_suspended():
    ends = []

    async def suspends():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    waiting = StepGreenlet.spawn(wait, suspends())
    gevent.idle()
    waiting.kill(timeout=DEADLINE_S)
    assert ends == ["cancelled"]


def test_timeouts_while_the_step_is_blocked():
    """One of gevent's is raised where it is blocked; with one of `wait`'s a runner takes it."""

    async def blocks():
        gevent.sleep(0.05)
        return "through"

    def work():
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            wait(blocks())
        with pytest.raises(TimeoutError):
            wait(asyncio.sleep(DEADLINE_S), 0.02)
        begun = attached_loop().time()
        assert wait(blocks(), 0.01) == "through"  # cancelled in vain, but waited for, as documented
        return attached_loop().time() - begun

    assert in_step_greenlet(work) < DEADLINE_S / 2


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, greenlet.GreenletExit])
def test_what_the_step_raises_is_the_callers(error):
    async def fails():
        raise error("said")

    def work():
        with pytest.raises(error, match="said"):
            wait(fails())
        return asyncio._get_running_loop()

    assert in_step_greenlet(work) is None


def test_a_subclass_takes_first_steps_too():
    class Connection(StepGreenlet):
        pass

    async def look():
        return greenlet.getcurrent()

    connection = Connection.spawn(lambda: wait(look()))
    assert connection.get(timeout=DEADLINE_S) is connection


def test_in_an_entered_context_a_runner_takes_it():
    async def look():
        return variable.get()

    def work():
        context = contextvars.copy_context()
        return context.run(lambda: (variable.set("entered"), wait(look()))[1])

    assert in_step_greenlet(work) == "entered"


def test_before_a_loop_is_attached_it_is_a_greenlet_like_others():
    before = attached_loop()
    before.detach()
    before.close()
    early = StepGreenlet(lambda: wait(asyncio.sleep(0, "result")))
    attached_loop()
    early.start()
    assert early.get(timeout=DEADLINE_S) == "result"
