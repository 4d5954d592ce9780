"""A Starlette application with a consumer in the background, from start-up to shutdown."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

log = logging.getLogger(__name__)


def make_app(_app_config):
    routes = [Route("/", add_job, methods=["POST"]), Route("/", show_jobs)]
    return Starlette(routes=routes, lifespan=consumer)


@asynccontextmanager
async def consumer(_app):
    queue, done = asyncio.Queue(), []
    async with asyncio.TaskGroup() as group:
        group.create_task(consume(queue, done))
        yield {"queue": queue, "done": done}
        # The last request has its reply: work off what it left, then end.
        await queue.join()
        log.info("all %d jobs are done", len(done))
        queue.put_nowait(None)


async def consume(queue, done):
    while (job := await queue.get()) is not None:
        await asyncio.sleep(0.01)
        done.append(job)
        queue.task_done()


async def add_job(request):
    job = (await request.body()).decode()
    request.state.queue.put_nowait(job)
    return JSONResponse({"queued": job}, 202)


async def show_jobs(request):
    await request.state.queue.join()
    return PlainTextResponse(f"done: {', '.join(request.state.done)}\n")
