"""SQLAlchemy's asyncio extension over asyncpg and a real PostgreSQL, with code under it that blocks."""

from __future__ import annotations

import asyncio
import threading
import time

import gevent
import gevent.lock
import pytest
from sqlalchemy import URL, ForeignKey, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from loops import Gate, in_greenlets, on_hub
from private_servers import Postgres

pytestmark = pytest.mark.usefixtures(in_greenlets.__name__)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    notes: Mapped[list[Note]] = relationship(back_populates="author", order_by="Note.id")


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    words: Mapped[str]
    author: Mapped[Author] = relationship(back_populates="notes")


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


class Database:
    """An engine and fresh tables; ``async with``."""

    def __init__(self, server, **engine):
        url = URL.create(
            "postgresql+asyncpg",
            username="tests",
            database="postgres",
            query={"host": str(server.folder), "port": str(server.port)},
        )
        self.engine = create_async_engine(url, **engine)
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)

    async def __aenter__(self):
        async with self.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        return self

    async def __aexit__(self, *_exc_info):
        await self.engine.dispose()


@pytest.fixture
def database(postgres):
    return Database(postgres, pool_size=10, max_overflow=5)


@on_hub
async def test_a_session_from_end_to_end(database):
    async with database as db:
        async with db.session.begin() as session:
            session.add(Author(name="Ada", notes=[Note(words="one"), Note(words="two")]))
        async with db.session() as session:
            ada = (await session.scalars(select(Author).options(selectinload(Author.notes)))).one()
            assert [note.words for note in ada.notes] == ["one", "two"]


@on_hub
async def test_calls_that_await_once(postgres):
    """On a connection that is open: SQLAlchemy's greenlet asks the server and ends."""
    async with Database(postgres, pool_size=1) as db, db.engine.connect() as connection:
        for number in range(3):
            result = await connection.execute(text(f"select {number}"))
            assert result.scalar() == number
            await connection.commit()


@on_hub
async def test_lazy_loading_inside_run_sync(database):
    """The ORM's own synchronous code awaits in the middle of an attribute access."""

    def words(session):
        ada = session.scalars(select(Author)).one()
        time.sleep(0.002)  # as a slow function of the application would
        return [note.words for note in ada.notes]

    async with database as db:
        async with db.session.begin() as session:
            session.add(Author(name="Ada", notes=[Note(words="one"), Note(words="two")]))
        async with db.session() as session:
            assert await session.run_sync(words) == ["one", "two"]


@on_hub
async def test_a_rolled_back_transaction(database):
    async with database as db:
        async with db.session.begin() as session:
            session.add(Author(name="Ada"))
        with pytest.raises(IntegrityError):
            async with db.session.begin() as session:
                session.add_all([Author(name="Grace"), Author(name="Ada")])
        async with db.session() as session:
            assert await session.scalar(select(func.count(Author.id))) == 1


@on_hub
async def test_streamed_results_with_a_blocking_consumer(database):
    async with database as db, db.engine.connect() as connection:
        numbers = []
        result = await connection.stream(
            text("select * from generate_series(1, 2000)"), execution_options={"yield_per": 100}
        )
        async for (number,) in result:
            if not number % 250:
                gevent.sleep(0)
            numbers.append(number)
    assert numbers == [*range(1, 2001)]


@on_hub
async def test_a_block_in_run_sync_holds_nobody_else(database):
    gate = Gate()

    def work(session):
        first = session.scalar(text("select 1"))
        gate.wait_in_gevent()
        return first, session.scalar(text("select 2"))

    async def another(db):
        async with db.session() as session:
            answer = await session.scalar(text("select 3"))
        gate.open()
        return answer

    async with database as db, db.session() as session:
        assert await asyncio.gather(session.run_sync(work), another(db)) == [(1, 2), 3]


@on_hub
async def test_many_sessions_with_blocking_calls_mixed_in(database):
    """600 units of work, 15 connections: what each writes is what each reads, and all of it arrives."""
    lock, of_threads = gevent.lock.BoundedSemaphore(3), threading.Lock()

    def unit(session, worker, turn):
        session.add(Author(name=f"{worker}-{turn}"))
        if turn % 3 == 0:
            time.sleep(0.0005 * (worker % 4))
        session.flush()
        with lock:
            if turn % 3 == 1:
                gevent.sleep(0)
            mine = session.scalar(select(Author.name).where(Author.name == f"{worker}-{turn}"))
        with of_threads:
            time.sleep(0)
        assert mine == f"{worker}-{turn}"
        return session.scalar(text(f"select {worker * 1000 + turn}"))

    async def work(db, worker):
        answers = []
        for turn in range(20):
            async with db.session.begin() as session:
                answers.append(await session.run_sync(unit, worker, turn))
            if turn % 5 == 0:
                gevent.sleep(0)
        return answers

    async with database as db:
        answers = await asyncio.gather(*(work(db, worker) for worker in range(30)))
        assert answers == [[worker * 1000 + turn for turn in range(20)] for worker in range(30)]
        async with db.session() as session:
            assert await session.scalar(select(func.count(Author.id))) == 600
        assert db.engine.pool.checkedout() == 0


@on_hub
async def test_hooks_that_block(database):
    """Synchronous event hooks, which SQLAlchemy calls inside its greenlet, are where old code lives."""
    from sqlalchemy import event

    async with database as db:
        event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *_: time.sleep(0.0005))

        async def ask(number):
            async with db.session() as session:
                return await session.scalar(text(f"select {number}"))

        assert await asyncio.gather(*map(ask, range(60))) == [*range(60)]


@on_hub
async def test_a_cancelled_query_gives_its_connection_back(postgres):
    async with Database(postgres, pool_size=1, max_overflow=0) as db:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03), db.session() as session:
                    await session.execute(text("select pg_sleep(60)"))
        async with db.session() as session:
            assert await session.scalar(text("select 1")) == 1
        assert db.engine.pool.checkedout() == 0


@on_hub
async def test_cancelled_while_run_sync_blocks(postgres):
    """The timeout passes in the blocking call; the next statement is where it strikes."""

    def work(session):
        session.execute(text("select 1"))
        time.sleep(0.03)
        return session.scalar(text("select pg_sleep(60)"))

    async with Database(postgres, pool_size=1, max_overflow=0) as db:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), AsyncSession(db.engine) as session:
                await session.run_sync(work)
        async with db.session() as session:
            assert await session.scalar(text("select 1")) == 1


@on_hub
async def test_an_error_of_the_server(database):
    async with database as db, db.session() as session:
        with pytest.raises(DBAPIError, match="division by zero"):
            await session.execute(text("select 1 / 0"))
        await session.rollback()
        assert await session.scalar(text("select 1")) == 1
