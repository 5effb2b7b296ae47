"""The mailer role: takes mail jobs off the queue and sends them."""

import asyncio
import contextlib

from miaosha import bootstrap
from miaosha.adapters.process import Process
from miaosha.settings import Settings


async def serve(process: Process, settings: Settings) -> None:
    async with bootstrap.mailer(settings, process.counters) as parts:
        process.checks.update(parts.checks)
        tasks = [
            asyncio.create_task(process.heartbeat(parts.heartbeats, parts.clock)),
            asyncio.create_task(
                parts.broker.mails(f"mailer-{process.instance}", parts.post.deliver)
            ),
        ]
        await process.stop.wait()
        for task in reversed(tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
