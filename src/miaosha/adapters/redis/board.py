"""Board: the live sales with their terms and questions, for every role's local cache.

Its `version`, a digest, says which content it has. Roles look each second, and read the rest only
when it changed.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.scripts import Argument, load, run
from miaosha.domain.sale import Sale
from miaosha.ports.store import SaleBoard

KEY = "sales"
WRITTEN = b"written_ms"  # no sale: Unix ms, keeps an empty board in being
VERSION = b"version"  # no sale: see the module
DIGEST_BYTES = 16

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sale).decode


async def write(client: Client, sales: Sequence[Sale]) -> None:
    args: list[Argument] = []
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for sale in sorted(sales, key=lambda sale: sale.id):
        text = _encode(sale)
        digest.update(text)
        args += [sale.id, text]
    with reaching("store"):
        await run(client, load("board", prelude=False), [KEY], [digest.hexdigest(), *args])


async def read(client: Client, seen: SaleBoard | None) -> SaleBoard | None:
    """A sale that this version cannot read is left out: then the board differs from SQL, and the
    scheduler writes it anew."""
    with reaching("store"):
        if seen is not None and seen.version:
            version: Any = await client.hget(KEY, VERSION)
            if version is not None and _text(version) == seen.version:
                return seen
        fields: dict[Any, Any] = await client.hgetall(KEY)
    if not fields:
        return None
    fields.pop(WRITTEN, None)
    named = _text(fields.pop(VERSION, b""))  # b"": written by an earlier release
    sales = (_read(text) for text in fields.values())
    return SaleBoard(named, {sale.id: sale for sale in sales if sale is not None})


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read(text: bytes | str) -> Sale | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        log.error("board_unreadable", bytes=len(text))
        return None
