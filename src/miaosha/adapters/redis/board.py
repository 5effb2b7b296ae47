"""The board: the live sales with their terms and questions, for every role's local cache."""

import msgspec
import structlog

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.scripts import Argument, load, run
from miaosha.domain.sale import Sale

KEY = "sales"
WRITTEN = b"written_ms"  # the one field that is not a sale: Unix ms, keeps an empty board in being

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sale).decode


async def write(client: Client, sales: list[Sale]) -> None:
    args: list[Argument] = []
    for sale in sales:
        args += [sale.id, _encode(sale)]
    with reaching("store"):
        await run(client, load("board", prelude=False), [KEY], args)


async def read(client: Client) -> dict[int, Sale] | None:
    """None if there is no board; {} if it is empty. A sale that this version cannot read is left
    out: then the board differs from SQL, and the scheduler writes it anew."""
    with reaching("store"):
        fields = await client.hgetall(KEY)
    if not fields:
        return None
    sales = (_read(text) for name, text in fields.items() if name != WRITTEN)
    return {sale.id: sale for sale in sales if sale is not None}


def _read(text: bytes | str) -> Sale | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        log.error("board_unreadable", bytes=len(text))
        return None
