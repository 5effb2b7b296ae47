"""Delay check: whether what waits in a delay queue comes out again, for `miaosha doctor`.

A client is told nothing of a delay queue that takes messages and keeps them. So one more queue
holds an empty message for an instant. It stays: deleting a queue of that kind may end the server's
supervisor of them all (see `topology.delay_of`).
"""

import asyncio
from typing import Final

from pamqp.commands import Basic

from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Link
from miaosha.adapters.rabbitmq.topology import QuorumQueue, delay_of, make, publish
from miaosha.domain.errors import MiaoshaError
from miaosha.domain.findings import Examined, Fitness, judged

WITHIN_S: Final = 3.0
POLL_S: Final = 0.02
DELAY_MS: Final = 1
# What a look that was broken off left behind is gone before the next one takes it for its own.
OUT: Final = QuorumQueue("reminders.probed", {"x-max-length": 100, "x-message-ttl": 5_000})
IN: Final = QuorumQueue(
    "reminders.probe",
    {**delay_of(DELAY_MS).arguments, "x-dead-letter-routing-key": OUT.name, "x-max-length": 100},
)
ADVICE: Final = (
    "nothing is lost, the sweep gives units back; restart RabbitMQ when no sale runs (or see "
    "docs/runbook.md): "
)


async def delays(link: Link) -> Examined:
    """Send something through. A warning: roles may start without. `link` may be of no use after."""
    wrong = ""
    try:
        async with asyncio.timeout(WITHIN_S):
            await make(link, OUT)
            await publish(link, IN, b"", timeout_s=WITHIN_S)
            while not await _came(link):  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        wrong = f"nothing came out within {WITHIN_S:g} s"
    except MiaoshaError as error:
        wrong = str(error)[:200]
    found = "what waits is kept" if wrong else "what waited came out"
    return judged("broker", "delay queues", found, not wrong, Fitness.WARNING, ADVICE + wrong)


async def _came(link: Link) -> bool:
    """One message is taken: each of several who look at once finds as many as it sent."""
    async with link.channel() as channel:
        got = await channel.basic_get(OUT.name, no_ack=True, timeout=COMMAND_TIMEOUT_S)
    return not isinstance(got.delivery, Basic.GetEmpty)
