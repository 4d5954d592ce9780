"""`gevent.Timeout` and kill where coroutines are: they reach whom they are meant for, and nobody else."""

import asyncio

import gevent
import greenlet
import pytest
from gevent.event import Event
from sqlalchemy.util import await_only, greenlet_spawn

from compat import StepGreenlet, attached_loop, wait
from deadline import DEADLINE_S, wait_for


@pytest.fixture(autouse=True)
def complaints():
    """What the loop's exception handler is told."""
    loop, told = attached_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context))
    yield told
    assert asyncio._get_running_loop() is None
    assert asyncio.all_tasks(loop) == set()
    assert not loop._blocked
    assert wait(asyncio.sleep(0, "well")) == "well"
    loop.detach()
    loop.close()


@pytest.fixture(params=[gevent.Greenlet, StepGreenlet], ids=lambda kind: kind.__name__)
def spawn(request):
    return request.param.spawn


class Blocking:
    """Synchronous code that blocks until it is thrown into, and notes what that was."""

    def __init__(self):
        self.begun, self.ends = Event(), []
        self.timeout = gevent.Timeout(DEADLINE_S)  # expires once the code is blocked

    def __call__(self):
        loop = asyncio._get_running_loop()
        try:
            self.begun.set()
            if self.timeout.pending:
                gevent.get_hub().loop.run_callback(self.timeout._on_expiration, *self.timeout.timer.args)
            Event().wait(DEADLINE_S)
        except BaseException as error:
            self.ends.append(error)
            assert asyncio._get_running_loop() is loop
            raise

    @property
    def end(self):
        (error,) = self.ends
        return error


async def in_the_step(function):
    return function()


async def in_a_raw_greenlet(function):
    """As old code would: nobody told the loop of this greenlet."""
    return greenlet.greenlet(function).switch()


async def in_two_raw_greenlets(function):
    return greenlet.greenlet(lambda: greenlet.greenlet(function).switch()).switch()


async def under_sqlalchemy(function):
    return await greenlet_spawn(function)


async def under_sqlalchemy_after_an_await(function):
    def work():
        await_only(asyncio.sleep(0))
        return function()

    return await greenlet_spawn(work)


BLOCKED = pytest.mark.parametrize(
    "blocked",
    [in_the_step, in_a_raw_greenlet, in_two_raw_greenlets, under_sqlalchemy, under_sqlalchemy_after_an_await],
)


@BLOCKED
def test_a_timeout_of_a_task_that_is_blocked_is_raised_where_it_is(blocked, spawn, complaints):
    sync_code = Blocking()

    async def times_out():
        with pytest.raises(gevent.Timeout) as caught, sync_code.timeout:
            await blocked(sync_code)
        assert asyncio.current_task() is not None
        await asyncio.sleep(0)
        return caught.value

    assert spawn(wait, times_out()).get(timeout=DEADLINE_S) is sync_code.end
    assert complaints == []


@BLOCKED
def test_so_is_one_that_was_started_some_awaits_earlier(blocked, spawn, complaints):
    """By then the task is in another greenlet."""
    sync_code = Blocking()

    async def times_out():
        with sync_code.timeout:
            for _ in range(3):
                await asyncio.sleep(0)
            await blocked(sync_code)

    def work():
        with pytest.raises(gevent.Timeout):
            wait(times_out())

    spawn(work).get(timeout=DEADLINE_S)
    assert sync_code.end is sync_code.timeout
    assert complaints == []


@pytest.mark.parametrize("blocked", [in_the_step, in_a_raw_greenlet, in_two_raw_greenlets, under_sqlalchemy])
@pytest.mark.parametrize("thrown", [greenlet.GreenletExit, LookupError])
def test_a_step_greenlet_is_killed_where_its_first_step_is_blocked(blocked, thrown):
    """A raw greenlet would return the GreenletExit, as if all were well."""
    sync_code, ends = Blocking(), []

    async def cleans_up():
        try:
            return await blocked(sync_code)
        except BaseException as error:
            ends.append(error)
            raise

    def work():
        try:
            wait(cleans_up())
        except BaseException as error:
            ends.append(error)

    killed = StepGreenlet.spawn(work)
    sync_code.begun.wait(DEADLINE_S)
    killed.kill(thrown, timeout=DEADLINE_S)
    assert isinstance(sync_code.end, thrown)
    assert ends == [sync_code.end] * 2


def test_a_timeout_around_a_wait_whose_first_step_is_blocked_in_a_raw_greenlet():
    """Started in no step; the StepGreenlet that it hits passes it on."""
    sync_code = Blocking()

    def work():
        with pytest.raises(gevent.Timeout) as caught, sync_code.timeout:
            wait(in_a_raw_greenlet(sync_code))
        return caught.value

    assert StepGreenlet.spawn(work).get(timeout=DEADLINE_S) is sync_code.end


def test_sync_code_that_is_killed_may_await_before_it_ends():
    """A rollback, say."""
    steps, begun = [], Event()

    def work():
        try:
            begun.set()
            Event().wait(DEADLINE_S)
        finally:
            steps.append("rolls back")
            await_only(asyncio.sleep(0))
            gevent.sleep(0)
            await_only(asyncio.sleep(0))
            steps.append("rolled back")

    killed = StepGreenlet.spawn(wait, greenlet_spawn(work))
    begun.wait(DEADLINE_S)
    killed.kill(timeout=DEADLINE_S)
    assert isinstance(killed.value, greenlet.GreenletExit)
    assert steps == ["rolls back", "rolled back"]


def test_sync_code_that_outlives_the_greenlet_ends_in_its_task():
    """Killed twice, a greenlet leaves its task to itself; what the task's first step made must find home."""
    go_on, ends = asyncio.Event(), []

    def work():
        try:
            await_only(asyncio.Event().wait())
        finally:
            await_only(go_on.wait())

    async def steps():
        try:
            await greenlet_spawn(work)
        finally:
            ends.append(asyncio.current_task())

    leaves = StepGreenlet.spawn(wait, steps())
    gevent.idle()
    leaves.kill(block=False)
    gevent.idle()
    assert not leaves.dead
    leaves.kill(timeout=DEADLINE_S)
    assert leaves.dead
    [task] = asyncio.all_tasks(attached_loop())
    attached_loop().call_soon(go_on.set)
    wait_for(task.done)
    assert ends == [task]
    assert task.cancelled()


async def awaits_under_a_gevent_timeout(timeout_s=0.01):
    with gevent.Timeout(timeout_s):
        await asyncio.sleep(DEADLINE_S)


async def does_so_in_its_second_step():
    await asyncio.sleep(0)
    await awaits_under_a_gevent_timeout()


async def does_so_in_a_raw_greenlet():
    def work():
        with gevent.Timeout(0.01):
            await_only(asyncio.sleep(DEADLINE_S))

    await greenlet_spawn(work)


AWAITING = pytest.mark.parametrize(
    "awaits", [awaits_under_a_gevent_timeout, does_so_in_its_second_step, does_so_in_a_raw_greenlet]
)


@AWAITING
def test_a_timeout_that_expires_while_its_task_awaits_cancels_it_and_says_so(awaits, spawn, complaints):
    def work():
        with pytest.raises(asyncio.CancelledError):
            wait(awaits())
        return wait(asyncio.sleep(0, "the loop goes on"))

    assert spawn(work).get(timeout=DEADLINE_S) == "the loop goes on"
    [complaint] = complaints
    assert "Timeout at" in complaint["message"]
    assert "0.01" in complaint["message"]
    assert "asyncio.timeout()" in complaint["message"]
    assert complaint["task"].cancelled()
    complaints.clear()


@AWAITING
def test_and_hits_nobody_who_is_blocked_meanwhile(awaits, complaints):
    """In the greenlet that had run the other's step."""
    go_on = Event()

    async def bystander():
        await asyncio.sleep(0)
        return go_on.wait(DEADLINE_S)

    async def main():
        victims = [asyncio.create_task(bystander()) for _ in range(3)]
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(awaits())
        go_on.set()
        return await asyncio.gather(*victims)

    assert wait(main()) == [True] * 3
    assert len(complaints) == 1
    complaints.clear()


def test_a_timeout_that_is_left_behind_is_reported(complaints):
    """By a callback, which has nothing that could be cancelled, and by a task that has ended."""
    left = []

    def leave():
        left.append(gevent.Timeout.start_new(0.005))

    async def leaves():
        leave()
        await asyncio.sleep(0)

    attached_loop().call_soon(leave)
    wait(leaves())
    wait_for(lambda: len(complaints) == 2)
    assert all("close it" in complaint["message"] for complaint in complaints)
    for timeout in left:
        timeout.close()
    complaints.clear()


def test_a_timeout_in_a_callback_that_blocks_is_raised_there(complaints):
    """It holds the loop meanwhile; a task that is blocked already is not concerned."""
    go_on, ends = Event(), []

    async def blocked():
        return go_on.wait(DEADLINE_S)

    def callback():
        try:
            with gevent.Timeout(0.005):
                Event().wait(DEADLINE_S)
        except gevent.Timeout as error:
            ends.append(error)
        go_on.set()

    waiting = gevent.spawn(wait, blocked())
    attached_loop().call_soon(callback)
    assert waiting.get(timeout=DEADLINE_S) is True
    assert len(ends) == 1


def test_outside_of_coroutines_timeouts_are_as_ever():
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.001):
        gevent.sleep(DEADLINE_S)
    with gevent.Timeout(0.001, False):
        wait(asyncio.sleep(DEADLINE_S))
    assert asyncio.run(asyncio.sleep(0, "another loop")) == "another loop"


def test_who_throws_into_a_step_that_is_over_gets_it_back():
    """As from a greenlet that has ended: the runner serves other steps by now, or waits for some."""
    steps = []

    async def stays():
        await asyncio.sleep(0)
        steps.append(greenlet.getcurrent())

    wait(stays())
    with pytest.raises(LookupError):
        steps[0].throw(LookupError)
    assert wait(asyncio.sleep(0.001, "the loop goes on")) == "the loop goes on"
