"""A sale of any size, written straight into SQL, Redis and the log: every unit is paid, everything
is acknowledged, and it closed a moment ago. Nothing of the roles' code writes here.
"""

import itertools
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from miaosha.adapters.redis.connect import Client

BATCH = 256  # requests in a batch, as in a rush
CHUNK = 10_000  # rows or places written in one go
FIRST_USER = 1_000_000  # a user's id says nothing of when he pressed
STRIDE = 7_919


class Unit(NamedTuple):
    number: int  # from 0
    rid: str
    user_id: int


def units(count: int, sale_id: int) -> Iterator[Unit]:
    """In the order in which they were won."""
    prime = _prime_above(count)
    for number in range(count):
        batch, index = divmod(number, BATCH)
        user = FIRST_USER + number * STRIDE % prime
        yield Unit(number, f"{batch_id(sale_id, batch)}.{index}", user)


def batch_id(sale_id: int, number: int) -> str:
    """As a UUIDv7 of a rush: the time first, then what tells it from others."""
    time_ms = 1_700_000_000_000 + number // 100
    return str(uuid.UUID(int=time_ms << 80 | 7 << 76 | sale_id << 64 | 2 << 62 | number))


def _prime_above(count: int) -> int:
    """So that every number below is hit once."""
    return next(n for n in itertools.count(count) if all(n % d for d in range(2, int(n**0.5) + 1)))


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk


# SQL

COLUMNS: Final = {
    "holds": "rid, sale_id, user_id, live_user, rank, pay_by_ms, created_at_ms, grant_id, state,"
    " attempt, version, promoted, extended, synced",
    "payments": "rid, sale_id, user_id, captured_rid, created_at_ms, changed_at_ms, attempt,"
    " amount, currency, state, name, phone, address",
    "orders": "id, order_no, rid, sale_id, user_id, created_at_ms, attempt, amount, currency,"
    " state",
    "outbox": "dedupe_key, event, rid, user_id, sale_id, next_at_ms, created_at_ms, state,"
    " attempts",
}


def write_sql(path: Path, sale_id: int, count: int, now_ms: int, phase: str = "scheduled") -> None:
    """Into a migrated file that nobody else has open. Indexes are made anew at the end, which is
    quicker than to keep them."""
    connection = sqlite3.connect(path)
    for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "cache_size = -200000"):
        connection.execute(f"PRAGMA {pragma}")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    _terms(connection, sale_id, count, now_ms, phase)
    for chunk in _chunks(units(count, sale_id)):
        for table, rows in _rows(chunk, sale_id, now_ms).items():
            marks = ", ".join("?" * len(rows[0]))
            insert = f"INSERT INTO {table} ({COLUMNS[table]}) VALUES ({marks})"  # noqa: S608
            connection.executemany(insert, rows)
    for _, statement in indexes:
        connection.execute(statement)
    connection.commit()
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def _terms(
    connection: sqlite3.Connection, sale_id: int, count: int, now_ms: int, phase: str
) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO products (id, name, description, picture_url, amount, currency)"
        " VALUES (1, 'A lamp', '', '', 2000, 'EUR')"
    )
    connection.execute(
        "INSERT INTO sales (id, product_id, title, mode, phase, amount, currency, opens_at_ms,"
        " closes_at_ms, pay_within_s, standby_pay_within_s, standby_limit, questions)"
        " VALUES (?, 1, 'Lamps', 'fifo', ?, 1000, 'EUR', ?, ?, 600, 600, 1000, '[]')",
        (sale_id, phase, now_ms - 3_600_000, now_ms - 60_000),
    )
    connection.execute(
        "INSERT INTO ledger (sale_id, epoch, stock, granted, sold) VALUES (?, 1, ?, ?, ?)",
        (sale_id, count, count, count),
    )


def _rows(chunk: list[Unit], sale_id: int, now_ms: int) -> dict[str, list[tuple[Any, ...]]]:
    held, paid = ("g", "PAID", 1, 4, 0, 0, 1), (1, 1000, "EUR", "captured")
    to = ("A Buyer", "+886 900 000 000", "1 Long Street, Taipei")
    holds, payments, orders, mails = [], [], [], []
    for number, rid, user in chunk:
        at_ms = now_ms - 3_000_000 + number // 1_000
        holds.append((rid, sale_id, user, user, number + 1, at_ms + 600_000, at_ms, *held))
        payments.append((rid, sale_id, user, rid, at_ms, at_ms, *paid, *to))
        name = f"{sale_id:x}-{number:08x}"
        orders.append((name, name, rid, sale_id, user, at_ms, 1, 1000, "EUR", "paid"))
        for event in ("won", "paid"):
            key = f"{event}:{rid}"
            mails.append((key, event, rid, user, sale_id, at_ms, at_ms, "sent", 0))
    return {"holds": holds, "payments": payments, "orders": orders, "outbox": mails}


# Redis and the log


async def write_store(store: Client, sale_id: int, count: int, now_ms: int) -> None:
    client: Any = store
    tag = f"{{sale:{sale_id}}}"
    info = await client.info("server")
    for chunk in _chunks(units(count, sale_id)):
        places = {str(user): f"paid|{rid}|{number + 1}|4|0" for number, rid, user in chunk}
        await client.hset(f"{tag}:users", mapping=places)
    for chunk in _chunks(batches(count, sale_id)):
        letters = {name: "h" * len(users) for name, users in chunk}
        await client.hset(f"{tag}:batches", mapping=letters)
    meta = {"epoch": 1, "run_id": info["run_id"], "phase": "open", "rebuilder": "", "refused": 0}
    meta |= {"stock": count, "free": 0, "held": 0, "paid": count, "seq": count}
    meta |= {"clock_ms": now_ms, "closes_at_ms": now_ms - 60_000, "standby_limit": 1_000}
    await client.hset(f"{tag}:meta", mapping=meta)


def batches(count: int, sale_id: int) -> Iterator[tuple[str, list[int]]]:
    """(id, users) in the order of the log."""
    of_all = units(count, sale_id)
    while of_one := list(itertools.islice(of_all, BATCH)):
        yield of_one[0].rid.rpartition(".")[0], [unit.user_id for unit in of_one]


async def write_log(broker: Client, sale_id: int, count: int, now_ms: int) -> None:
    """Everything is acknowledged."""
    client: Any = broker
    key = f"{{sale:{sale_id}}}:requests"
    for chunk in _chunks(batches(count, sale_id)):
        pipe = client.pipeline(transaction=False)
        for name, users in chunk:
            raw = msgspec.msgpack.encode([1, sale_id, name, now_ms - 3_000_000, users])
            pipe.xadd(key, {b"b": raw})
        await pipe.execute()
    entries = await client.xlen(key)
    await client.xgroup_create(key, "consumers", id="$", mkstream=True, entries_read=entries)
