"""What SIGUSR1 logs, made for a person."""

import asyncio
import subprocess
import sys
import weakref

import gevent
import pytest
from gevent import monkey
from gevent.event import Event

import compat
from baseplate_serve._lifecycle import dump
from deadline import wait_for


def waits_for(event):
    event.wait()


def test_a_hundred_greenlets_at_the_same_place_are_one_entry(caplog):
    event = Event()
    waiting = [gevent.spawn(waits_for, event) for _ in range(100)]
    gevent.idle()
    dump.log_everything(list)
    event.set()
    gevent.joinall(waiting)
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "SIGUSR1: 0 requests in flight" in text
    assert text.count("test_dump.py") < 30
    entries = [line for line in text.splitlines() if line.startswith("100 x ")]
    assert len(entries) == 1
    assert "spawned by" in entries[0]
    assert "test_dump.py:" in entries[0]
    assert "waits_for: event.wait()" in text


def test_they_are_one_entry_whoever_spawned_them(caplog):
    event = Event()

    def request():
        gevent.spawn(waits_for, event).join()

    waiting = [gevent.spawn(request) for _ in range(100)]
    gevent.idle()
    dump.log_everything(list)
    event.set()
    gevent.joinall(waiting)
    text = "\n".join(record.getMessage() for record in caplog.records)
    entries = [line for line in text.splitlines() if line.startswith("100 x ")]
    assert len(entries) == 2
    assert all("spawned by" in entry for entry in entries)


def test_tasks_are_shown_with_what_they_await(caplog):
    async def inner(event):
        await event.wait()

    async def generator(event):
        yield await inner(event)

    async def outer(event):
        async for _ in generator(event):
            pass

    loop = compat.attached_loop()
    event = asyncio.Event()
    tasks = [loop.create_task(outer(event)) for _ in range(3)]
    gevent.idle()
    dump.log_everything(list)
    loop.call_soon(event.set)
    compat.wait(asyncio.wait(tasks))
    loop.detach()
    loop.close()
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "SIGUSR1: 3 asyncio tasks" in text
    shown = text[text.index("3 x ") :]
    chain = [word for word in ("outer", "generator", "inner", "Event.wait") if f"{word} (" in shown]
    assert chain == ["outer", "generator", "inner", "Event.wait"]
    assert shown.index("outer (") < shown.index("inner (") < shown.index("Event.wait (")


def test_a_task_that_has_no_coroutine_yet_is_not_shown(caplog):
    """It was made ahead, for the next coroutine that its greenlet will wait for."""

    async def nothing():
        pass

    def work(event):
        compat.wait(nothing())
        event.wait()

    loop = compat.attached_loop()
    event = Event()
    waiting = compat.StepGreenlet.spawn(work, event)
    gevent.idle()
    assert waiting.ahead.task is not None
    dump.log_everything(list)
    event.set()
    waiting.join()
    loop.detach()
    loop.close()
    assert "asyncio task" not in "\n".join(record.getMessage() for record in caplog.records)


class Elsewhere:
    pass


class Lazy:
    """As Django's or Celery's: what it is, is worked out when somebody asks, which may take long."""

    def __init__(self, asked):
        self.asked = asked

    @property
    def __class__(self):
        self.asked.append("__class__")
        return Lazy

    def __getattr__(self, name):
        self.asked.append(name)
        raise AttributeError(name)

    def __await__(self):
        return self

    def __next__(self):
        if self.future.done():
            raise StopIteration
        self.future._asyncio_future_blocking = True
        return self.future


def test_what_an_object_says_of_itself_is_not_asked(caplog):
    gone = Elsewhere()
    dead = weakref.proxy(gone)
    del gone
    asked = []

    async def awaits():
        await lazy

    loop = compat.attached_loop()
    lazy = Lazy(asked)
    lazy.future = loop.create_future()
    task = loop.create_task(awaits())
    gevent.idle()
    asked.clear()
    dump.log_everything(list)
    assert asked == []
    lazy.future.set_result(None)
    compat.wait(task)
    loop.detach()
    loop.close()
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "await test_what_an_object_says_of_itself_is_not_asked.<locals>.awaits" in text
    assert "native threads" in text
    with pytest.raises(ReferenceError):
        dead.x  # noqa: B018 (it was there all the time)


def test_a_greenlet_is_spawned_where_its_class_was_called(caplog):
    """Every connection of an asynchronous service would seem to come from a line of ours otherwise."""

    class Mine(compat.StepGreenlet):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    event = Event()
    waiting, line = Mine.spawn(waits_for, event), sys._getframe().f_lineno
    gevent.idle()
    dump.log_everything(list)
    event.set()
    waiting.join()
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert f"{waiting.name}, spawned by the main greenlet at {__file__}:{line}\n" in text


def test_native_threads_are_shown():
    pool = gevent.get_hub().threadpool
    lock = monkey.get_original("_thread", "allocate_lock")()
    lock.acquire()

    def holds_in_a_thread():
        lock.acquire()

    held = pool.spawn(holds_in_a_thread)
    wait_for(lambda: any("holds_in_a_thread" in str(each.where) for each in dump.threads()), "it runs")
    lock.release()
    held.get()


def test_a_service_without_asyncio_does_not_import_it():
    code = """
import sys
from gevent import monkey; monkey.patch_all()
from baseplate_serve._lifecycle import dump
dump.log_everything(list)
assert "asyncio" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
