"""Measurement: one load on one sale: answers, outcomes, processor time, the audit afterwards."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from bench.generator_process import GeneratorProcesses
from bench.load import Load
from bench.presses import Presses
from bench.stack import Stack
from bench.tally import Tally, milliseconds
from bench.usage import load_average, megabytes, per_purchase
from miaosha.domain.sale import Sale
from miaosha.supervisor.machine.usage import Used

PATH = ("publisher", "consumer", "store", "broker")  # what every purchase goes through
LEAD_S = 0.3  # so that the clock of every publisher agrees that it is open


class Row(msgspec.Struct, kw_only=True):
    """One line of the tables, as it is kept in bench/results.

    Attributes:
        mix: what was asked of the platform, in words.
        accepted_per_s: 202s, over the time requests were due.
        decided_per_s: the same requests, until the last of them was decided.
        errors: whatever must not happen, by kind; empty is good.
        latency_ms: of the 202 (of a refusal where there is none): p50, p99, p99.9, max.
        cpu_us: processor time an answer, by role and server, and of all together.
        path_us: of publisher, consumer and the two Valkeys together.
        generator_us: the generator's own, not in `all`.
        batch_users: requests in a batch on average.
        audit: "clean", or what is broken; "" where no sale ran.
        load_average: of the machine, as it began.
    """

    name: str
    mix: str
    seconds: float = 0.0
    accepted_per_s: float = 0.0
    decided_per_s: float = 0.0
    answers_per_s: float = 0.0
    statuses: dict[int, int] = {}
    codes: dict[str, int] = {}
    errors: dict[str, int] = {}
    latency_ms: dict[str, float] = {}
    cpu_us: dict[str, float] = {}
    path_us: float = 0.0
    generator_us: float = 0.0
    memory_mb: dict[str, int] = {}
    batch_users: float = 0.0
    audit: str = ""
    load_average: float = 0.0
    more: dict[str, Any] = {}


async def pressed(
    stack: Stack,
    row: Row,
    sale: Sale,
    load: Load,
    *,
    buyers: int,
    first_user: int = 0,
    processes: int = 2,
    repeats: int = 1,
    beside: Callable[[float], Awaitable[object]] | None = None,
    lead_s: float = LEAD_S,
) -> Tally:
    """Let `buyers` press on `sale` as `load` says, and fill in the row.

    Args:
        first_user: the first buyer's id; 0: the stack's first.
        processes: of the generator.
        lead_s: from the opening (or now) to the start, for connecting.
        beside: called with the start (time.monotonic); awaited together with the load.
    """
    presses = crowd(stack, sale, buyers, first_user=first_user, repeats=repeats)
    async with GeneratorProcesses(load, presses, processes) as generators:
        await stack.quiet()
        counted = await stack.counters()
        row.load_average = load_average()
        start = max(stack.opening(sale), time.monotonic()) + lead_s
        before = stack.used()
        besides = beside(start) if beside else None
        tally = await generators.run(start)
        await stack.drained(sale.id)
        decided_at = time.monotonic()
        after = stack.used()
        if besides is not None:
            await besides
    _fill(row, load, tally, before, after, decided_at - start)
    row.batch_users = _batch_users(counted, await stack.counters())
    verdict = await stack.audit(sale.id)
    row.audit = "clean" if verdict.clean else "; ".join(f.detail for f in verdict.findings)
    accepted = row.statuses.get(202, 0)
    row.more["requests in the log"] = verdict.counts.get("requests", 0)
    if accepted > verdict.counts.get("requests", 0):
        row.errors["accepted_but_not_in_the_log"] = accepted - verdict.counts.get("requests", 0)
    return tally


def crowd(
    stack: Stack, sale: Sale, buyers: int, *, first_user: int = 0, repeats: int = 1
) -> Presses:
    """The presses of so many buyers."""
    return Presses(
        sale=sale,
        secret_keys=stack.settings.secret_keys,
        first_user=first_user or stack.first_user,
        count=buyers,
        issued_s=stack.parts.clock.now_ms() // 1000,
        repeats=repeats,
    )


def _fill(
    row: Row,
    load: Load,
    tally: Tally,
    before: Mapping[str, Used],
    after: Mapping[str, Used],
    until_decided_s: float,
) -> None:
    row.statuses = tally.by_status()
    row.codes, row.errors = dict(tally.codes), dict(tally.errors)
    accepted, answers = row.statuses.get(202, 0), sum(row.statuses.values())
    ended = tally.ended_array()
    row.seconds = round(max(max(ended, default=0.0), 0.01), 2)
    row.answers_per_s = round(answers / row.seconds)
    row.accepted_per_s = round(accepted / row.seconds)
    row.decided_per_s = round(accepted / max(until_decided_s, row.seconds))
    wanted = 202 if accepted else 0
    latencies = tally.latencies_of(lambda status: status == wanted or not wanted)
    row.latency_ms = milliseconds(latencies)
    row.cpu_us = per_purchase(before, after, answers)
    row.path_us = round(sum(row.cpu_us.get(role, 0.0) for role in PATH), 2)
    row.generator_us = round(tally.cpu_s * 1e6 / max(1, answers), 2)
    row.memory_mb = megabytes(after)


def _batch_users(before: dict[str, Counter[str]], after: dict[str, Counter[str]]) -> float:
    old, new = before.get("publisher", Counter()), after.get("publisher", Counter())
    batches = new["batches"] - old["batches"]
    return round((new["accepted"] - old["accepted"]) / batches, 1) if batches else 0.0
