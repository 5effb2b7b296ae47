"""Order scenarios: (f) checkout, (g) sign-in, the api's two heavy calls; winners told by push."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.generator_process import GeneratorProcesses
from bench.load import Load
from bench.measurement import Row, crowd, pressed
from bench.presses import Raw, post
from bench.stack import Stack
from bench.tally import milliseconds
from bench.usage import load_average, megabytes, per_purchase
from bench.watchers import watchers
from miaosha.adapters.keyring import Keyring
from miaosha.adapters.tokens import JwtTokens

OPENS_IN_S = 1.5
PASSWORD = "correct horse of the benchmark"  # noqa: S105 - of accounts that live for a minute
CARD = {"card": "4242424242424242", "expiry": "12/40", "cvc": "123"}
TOLD_WITHIN_S = 30.0
CALLS_WITHIN_S = 60.0
LOGGED_MAX = 5  # lines shown of what the api did not expect


class Checkouts(NamedTuple):
    """A sale of which every unit is held, and a checkout of each: (path, body, token)."""

    sale_id: int
    requests: list[tuple[str, Any, str]]

    @classmethod
    async def prepare(cls, stack: Stack, units: int, *, first_user: int) -> "Checkouts":
        sale = await stack.sale(units, 0, OPENS_IN_S)
        load = Load(targets=stack.targets(), connections=64, seconds=60.0)
        row = Row(name="", mix="")
        await pressed(stack, row, sale, load, buyers=units, first_user=first_user, processes=1)
        holds = await stack.books.held(sale.id)
        assert len(holds) == units, f"{len(holds)} of {units} units are held"
        tokens = JwtTokens(Keyring.parse(stack.settings.secret_keys))
        now_ms = stack.parts.clock.now_ms()
        requests = []
        for rid, user_id, pay_by_ms in holds:
            body = {
                "checkout_token": tokens.checkout(rid, sale.id, user_id, pay_by_ms),
                "payment": CARD,
                "name": "A Buyer",
                "phone": "+49 30 123456",
                "address": "Street 1, 10115 Berlin",
            }
            access = tokens.access(user_id, "buyer", now_ms)
            requests.append((f"/api/v1/sales/{sale.id}/checkout", body, access))
        return cls(sale.id, requests)


async def checkout(stack: Stack, orders: int, connections: int) -> Row:
    """(f) Every unit of a sale is paid for, straight at the api."""
    row = Row(
        name="checkout",
        mix=f"{orders:,} holds paid over {connections} connections ({stack.books.name})",
    )
    prepared = await Checkouts.prepare(stack, orders, first_user=stack.first_user)
    requests = [post(path, body, token) for path, body, token in prepared.requests]
    await _called(stack, row, requests, connections, 201)
    verdict = await stack.audit(prepared.sale_id)
    row.audit = "clean" if verdict.clean else "; ".join(f.detail for f in verdict.findings)
    row.more["orders in the ledger"] = verdict.counts["orders"]
    return row


async def sign_in(stack: Stack, sessions: int, connections: int) -> Row:
    """(g) Sessions opened with a password (argon2id), straight at the api."""
    row = Row(
        name="sign-in", mix=f"{sessions:,} sign-ins over {connections} connections (argon2id)"
    )
    body = sign_in_body(await signers(stack, 1))
    requests = [post("/api/v1/sessions", body) for _ in range(sessions)]
    await _called(stack, row, requests, connections, 200)
    return row


async def signers(stack: Stack, count: int) -> str:
    """Accounts with a password; the first one's e-mail."""
    from miaosha.usecases.accounts import Membership

    parts = stack.parts
    members = Membership(parts.accounts, parts.passwords, parts.tokens, parts.clock)
    emails = [f"signer-{time.monotonic_ns()}-{i}@bench.example" for i in range(count)]
    for email in emails:
        await members.register(email, PASSWORD, "Signer", "buyer")
    return emails[0]


def sign_in_body(email: str) -> dict[str, str]:
    return {"email": email, "password": PASSWORD}


async def _called(
    stack: Stack, row: Row, requests: list[bytes], connections: int, good: int
) -> None:
    """Closed loop on the api until all requests are answered."""
    load = Load(
        targets=stack.targets("api"),
        connections=connections,
        seconds=CALLS_WITHIN_S,
        expected=(good,),
        ordered=False,
    )
    await stack.quiet()
    row.load_average = load_average()
    async with GeneratorProcesses(load, Raw(requests), 1) as generators:
        before = stack.used()
        tally = await generators.run(time.monotonic() + 0.2)
        after = stack.used()
    answers = len(requests)
    row.statuses, row.codes = tally.by_status(), dict(tally.codes)
    row.codes.pop("no_code", None)
    if "internal" in row.codes:
        sys.stderr.writelines(_unexpected(stack))
    row.errors = {kind: n for kind, n in tally.errors.items() if kind != "exhausted"}
    row.seconds = round(max(tally.ended_array(), default=0.001), 2)
    row.answers_per_s = round(row.statuses.get(good, 0) / row.seconds, 1)
    row.latency_ms = milliseconds(tally.latencies_of(lambda status: status == good))
    row.cpu_us = per_purchase(before, after, answers)
    row.generator_us = round(tally.cpu_s * 1e6 / answers, 2)
    row.memory_mb = megabytes(after)


def _unexpected(stack: Stack) -> list[str]:
    """The first lines the api logged of what it did not expect; the directory goes with us."""
    logs = sorted(Path(stack.settings.data_dir, "logs").glob("api-*.log"))
    lines = [line for log in logs for line in log.read_text("utf-8").splitlines(keepends=True)]
    return [line for line in lines if '"unexpected"' in line][:LOGGED_MAX]


async def told(stack: Stack, winners: int) -> Row:
    """As many units as buyers, all of them connected, all pressing as the sale opens."""
    row = Row(name="told", mix=f"{winners:,} connected buyers, as many units, all press at once")
    sale = await stack.sale(winners, 0, OPENS_IN_S)
    found = await watchers(crowd(stack, sale, winners), stack.settings.port)
    began: list[float] = []

    async def hear(start: float) -> None:
        began.append(start)
        waits = [asyncio.create_task(watcher.told.wait()) for watcher in found]
        _, late = await asyncio.wait(waits, timeout=TOLD_WITHIN_S)
        for each in late:
            each.cancel()

    load = Load(targets=stack.targets(), connections=min(1_024, winners), seconds=20.0)
    try:
        await pressed(
            stack,
            row,
            sale,
            load,
            buyers=winners,
            processes=1,
            beside=lambda start: asyncio.create_task(hear(start)),
        )
    finally:
        for watcher in found:
            watcher.close()
    row.errors.pop("exhausted", None)
    after = sorted(w.told_at - began[0] for w in found if w.told_at and w.state == "held")
    row.more["winners told"] = len(after)
    row.more["told after the start, ms"] = milliseconds(after)
    return row
