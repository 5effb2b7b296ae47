"""The mailer role: takes mail jobs off the queue and sends them."""

from miaosha import bootstrap
from miaosha.serving import memory
from miaosha.serving.process import Process
from miaosha.settings import Settings


async def serve(process: Process, settings: Settings) -> None:
    async with bootstrap.mailer(settings, process.counters) as parts:
        process.checks.update(parts.checks)
        memory.settle()
        await process.tend(
            process.heartbeat(parts.heartbeats, parts.clock),
            parts.broker.mails(process.consumer_name, parts.mail_queue.deliver),
        )
