"""Stream queue: a queue on Redis, which is a stream and its consumer group."""

from typing import Final, NamedTuple

from redis.exceptions import ResponseError

from miaosha.adapters.redis.connect import Client

Entry = tuple[bytes, dict[bytes, bytes]]  # its id and fields

FIELD: Final = b"b"  # the one field of every entry: the message's bytes


class StreamQueue(NamedTuple):
    """`made`: made again when it is missing (else a missing stream ends the reading).
    `trimmed`: entries are deleted once acknowledged (else the stream is a log and keeps them)."""

    key: str
    group: str
    made: bool = False
    trimmed: bool = False


async def make_queue(client: Client, queue: StreamQueue) -> None:
    """The stream and its group, from the stream's beginning. Idempotent."""
    try:
        await client.xgroup_create(queue.key, queue.group, id="0", mkstream=True, entries_read=0)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def is_missing(error: ResponseError) -> bool:
    """The stream is not there, or its group is not."""
    return str(error).startswith(("NOGROUP", "no such key"))
