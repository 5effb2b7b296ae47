"""RabbitMQ examination: what it is and whether it keeps what it confirms, for `miaosha doctor`.

It learns what a client is told without the management plugin. It probes with queues of its own,
which it deletes at once (but for those of `delays`).
"""

import asyncio
import uuid
from collections.abc import Iterable
from typing import Any, Final

from aiormq.connection import Connection
from aiormq.exceptions import AMQPError, ChannelPreconditionFailed
from pamqp.commands import Basic

from miaosha.adapters.rabbitmq.delays import delays
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Link, NoQueue, blocked
from miaosha.adapters.rabbitmq.topology import (
    MAIL,
    PARKED,
    REMINDERS,
    arguments_of,
    count,
    log_of,
    requests_of,
)
from miaosha.domain.errors import DependencyDown, MiaoshaError
from miaosha.domain.findings import Examined, Fitness, judged

PART: Final = "broker"
OLDEST: Final = (3, 10)
ASK_S: Final = 20.0
SALES_MAX: Final = 20  # whose queues are looked at
PROBE_MS: Final = 60_000  # a probe that could not be deleted goes after this
BLOCKED_WITHIN_S: Final = 0.5  # a server says so when something was published
FRAME_LEAST: Final = 8_192  # bytes: a batch in a frame or two


async def examine_rabbitmq(url: str, sale_ids: Iterable[int] = ()) -> list[Examined]:
    """A server that does not answer is a finding, not an error.

    Args:
        sale_ids: live sales, whose queues and logs are looked at too (the first SALES_MAX).
    """
    link = Link(url)
    try:
        async with asyncio.timeout(ASK_S):
            found = await _connection(link)
            found.append(await _alarms(link))
            if found[-1].verdict is not Fitness.OK:
                return found  # it reads nothing more from this connection
            found += [await _keeps(link, "quorum"), await _keeps(link, "stream")]
            for queue in (MAIL, REMINDERS, PARKED):
                found += await _declared(link, queue.name, await arguments_of(link, queue))
            for sale_id in list(sale_ids)[:SALES_MAX]:
                found += await _sale(link, sale_id)
            found.append(await delays(link))
            return found
    except (MiaoshaError, TimeoutError) as error:
        return [Examined(PART, "answers", "no", Fitness.REFUSED, str(error) or "no answer")]
    finally:
        await link.close()


async def _connection(link: Link) -> list[Examined]:
    connection = await link.connection()
    properties: Any = connection.server_properties
    tune: Any = connection.connection_tune
    version = await link.version()
    name = properties.get("cluster_name") or b"?"
    cluster = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return [
        judged(
            PART,
            "version",
            f"{_text(properties.get('product'))} {_text(properties.get('version'))}",
            version >= OLDEST,
            Fitness.REFUSED,
            "at least 3.10: older ones drop dead letters, and know no streams",
        ),
        Examined(PART, "cluster", f"{cluster} (how many nodes, only rabbitmqctl tells)"),
        judged(
            PART,
            "heartbeat",
            f"{tune.heartbeat} s",
            bool(tune.heartbeat),
            Fitness.WARNING,
            "set it to 10: without, a server that hangs is noticed late",
        ),
        judged(
            PART,
            "frame_max",
            f"{tune.frame_max:,} bytes",
            not tune.frame_max or tune.frame_max >= FRAME_LEAST,
            Fitness.WARNING,
            f"set it to at least {FRAME_LEAST}",
        ),
    ]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


async def _keeps(link: Link, kind: str) -> Examined:
    """Can a queue of this kind be made, and does it confirm?"""
    name = f"doctor.{uuid.uuid4().hex}"
    arguments: dict[str, Any] = {"x-queue-type": kind}
    if kind == "quorum":
        arguments["x-expires"] = PROBE_MS
    wrong = ""
    try:
        async with link.channel() as channel, asyncio.timeout(COMMAND_TIMEOUT_S):
            await channel.queue_declare(name, durable=True, arguments=arguments)
        await link.publish(b"", name, properties=Basic.Properties(message_id=name))
    except MiaoshaError as error:
        wrong = str(error)[:200]
    finally:
        async with link.channel() as channel:
            await channel.queue_delete(name)
    advice = f"let this user make {kind} queues, and a majority of nodes run: {wrong}"
    found = "cannot be used" if wrong else "made, confirmed, deleted"
    return judged(PART, f"{kind} queues", found, not wrong, Fitness.REFUSED, advice)


async def _alarms(link: Link) -> Examined:
    """Whether the server takes messages. A warning, since nothing is lost and consumers, which end
    an alarm, must be able to start. It tells those who publish: so something to nobody."""
    connection = await link.connection()
    async with link.channel() as channel:
        await channel.basic_publish(b"", routing_key="doctor")
        return await _blocked_soon(connection)


async def _blocked_soon(connection: Connection) -> Examined:
    loop = asyncio.get_running_loop()
    until = loop.time() + BLOCKED_WITHIN_S
    while not blocked(connection) and loop.time() < until:  # noqa: ASYNC110 - it is told by a frame
        await asyncio.sleep(0.02)
    bad = blocked(connection)
    return judged(
        PART,
        "alarms",
        "memory or disk: publishers are blocked" if bad else "none",
        not bad,
        Fitness.WARNING,
        "purchases are answered 503: free memory or disk, or raise vm_memory_high_watermark or "
        "disk_free_limit",
    )


async def _sale(link: Link, sale_id: int) -> list[Examined]:
    queue = requests_of(sale_id)
    arguments = await arguments_of(link, queue)
    found = await _declared(link, queue.name, arguments)
    return found + await _declared(link, log_of(sale_id), {"x-queue-type": "stream"})


async def _declared(link: Link, name: str, arguments: dict[str, Any]) -> list[Examined]:
    """How a queue of ours was made; nothing of one that is yet to be made."""
    try:
        await count(link, name)
    except NoQueue:
        return []
    except DependencyDown as error:
        return [Examined(PART, f"queue {name}", "unavailable", Fitness.REFUSED, str(error)[:200])]
    differs = await _differs(link, name, arguments)
    kind = {"x-queue-type": arguments["x-queue-type"]}
    # A server names only the first argument that differs: its kind is asked for alone, too.
    other = f"{differs} {await _differs(link, name, kind)}" if differs else ""
    bad = Fitness.REFUSED if "x-queue-type" in other or "durable" in other else Fitness.WARNING
    found = "differs from what is made now" if differs else str(arguments["x-queue-type"])
    advice = f"delete it when no sale runs, it is made anew: {differs}"
    return [judged(PART, f"queue {name}", found, not differs, bad, advice)]


async def _differs(link: Link, name: str, arguments: dict[str, Any]) -> str:
    """What the server says against declaring a queue that is there; "" if nothing."""
    async with link.channel() as channel, asyncio.timeout(COMMAND_TIMEOUT_S):
        try:
            await channel.queue_declare(name, durable=True, arguments=arguments)
        except ChannelPreconditionFailed as error:
            return _reason(error)
    return ""


def _reason(error: AMQPError) -> str:
    text = str(error)
    start = text.find("inequivalent")
    return text[max(start, 0) :][:200]
