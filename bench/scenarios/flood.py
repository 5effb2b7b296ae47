"""Flood scenario (e): twice the capacity is offered for a while.

What is too much is refused at once, the rest of the platform goes on, and afterwards everything is
as before. The capacity is what the platform accepts with the same checkouts and sign-ins beside it,
measured right before (a closed loop).
"""

import asyncio
import time
from typing import Any

from msgspec.structs import replace

from bench.generator_process import GeneratorProcesses
from bench.load import Load
from bench.measurement import Row, crowd, pressed
from bench.scenarios.orders import Checkouts, sign_in_body, signers
from bench.stack import Stack
from bench.tally import Tally, milliseconds

EVERY_S = 0.05
CAPACITY_S = 6.0
CAPACITY_CONNECTIONS = 1_024
OPENS_IN_S = 1.5
RECOVERY_S = 10.0
RECOVERY_RATE = 1_000.0
NORMAL_S = 0.05
CONNECTED_WITHIN_S = 4.0
REFUSALS = (429, 503)


async def flood(stack: Stack, load: Load, buyers: int, processes: int) -> Row:
    """`load` is the flood, its rate not yet known; the recovery is an open loop of RECOVERY_RATE
    right after it."""
    row = Row(name="flood", mix="")
    company = await Company.prepare(stack, CAPACITY_S + load.seconds + 2)
    found = await _capacity(stack, company, load, buyers, processes)
    load = replace(load, rate_per_s=2 * found, expected=(202, *REFUSALS))
    row.more["capacity in this company, accepted/s"] = round(found)
    row.mix = (
        f"{load.rate_per_s:,.0f} presses/s offered for {load.seconds:g} s (everybody may wait), "
        "a checkout and a sign-in every 50 ms beside it"
    )
    sale = await stack.sale(1, 10_000_000, OPENS_IN_S)
    calm = Load(
        targets=load.targets,
        connections=64,
        seconds=RECOVERY_S,
        rate_per_s=RECOVERY_RATE,
        grace_s=5.0,
        expected=(202, *REFUSALS),
    )
    after = crowd(
        stack, sale, round(RECOVERY_RATE * RECOVERY_S), first_user=stack.first_user + buyers
    )
    async with GeneratorProcesses(calm, after, 1) as recovery:

        async def beside(start: float) -> None:
            going_on = asyncio.create_task(company.go_on(start, load.seconds + 2))
            row.more |= _recovered(await recovery.run(start + load.seconds))
            row.more |= await going_on

        tally = await pressed(
            stack,
            row,
            sale,
            load,
            buyers=buyers,
            processes=processes,
            repeats=1 + int(load.rate_per_s * load.seconds / buyers),
            beside=lambda start: asyncio.create_task(beside(start)),
            lead_s=CONNECTED_WITHIN_S,
        )
    refused = tally.latencies_of(lambda status: status in REFUSALS)
    row.more["refused, ms"] = milliseconds(refused)
    return row


async def _capacity(
    stack: Stack, company: "Company", load: Load, buyers: int, processes: int
) -> float:
    """202s a second in a closed loop."""
    sale = await stack.sale(1, 10_000_000, OPENS_IN_S)
    closed = replace(load, seconds=CAPACITY_S, connections=CAPACITY_CONNECTIONS)
    row = Row(name="", mix="")
    await pressed(
        stack,
        row,
        sale,
        closed,
        buyers=buyers,
        processes=processes,
        beside=lambda start: asyncio.create_task(company.go_on(start, CAPACITY_S)),
        lead_s=CONNECTED_WITHIN_S,
    )
    return row.accepted_per_s


class Company:
    """A checkout and a sign-in every EVERY_S, as others go on while the crowd presses."""

    def __init__(self, stack: Stack, checkouts: list[tuple[str, Any, str]], body: Any) -> None:
        self._stack = stack
        self._checkouts = checkouts
        self._body = body

    @classmethod
    async def prepare(cls, stack: Stack, seconds: float) -> "Company":
        """With enough holds to pay for `seconds`."""
        count = round(seconds / EVERY_S)
        checkouts = await Checkouts.prepare(stack, count, first_user=stack.first_user)
        return cls(stack, list(checkouts.requests), sign_in_body(await signers(stack, 1)))

    async def go_on(self, start: float, seconds: float) -> dict[str, Any]:
        """From `start` (time.monotonic) for `seconds`; what the two met with."""
        count = round(seconds / EVERY_S)
        paying, self._checkouts = self._checkouts[:count], self._checkouts[count:]
        signing = [("/api/v1/sessions", self._body, "")] * count
        paid, signed = await asyncio.gather(
            _each(self._stack, start, paying), _each(self._stack, start, signing)
        )
        return {"checkout beside it": paid, "sign-in beside it": signed}


def _recovered(calmed: Tally) -> dict[str, Any]:
    """When the 202s of the recovery were quick again, seconds after the flood's end."""
    slow = [
        ended
        for ended, latency, status in zip(
            calmed.ended_array(), calmed.latency_array(), calmed.status_array(), strict=True
        )
        if latency > NORMAL_S or status != 202
    ]
    return {
        "normal again after, s": round(max(slow, default=0.0), 2),
        "recovery": {str(status): n for status, n in calmed.by_status().items()},
        "recovery errors": calmed.errors,
    }


async def _each(stack: Stack, start: float, requests: list[tuple[str, Any, str]]) -> dict[str, Any]:
    """One request every EVERY_S through the edge, each on a connection of its own; latency counts
    from the scheduled instant."""
    latencies: list[float] = []
    statuses: dict[str, int] = {}

    async def one(number: int, path: str, body: Any, token: str) -> None:
        due = start + number * EVERY_S
        await asyncio.sleep(due - time.monotonic())
        http = stack.http()
        http.token = token
        answer = await http.request("POST", path, body)
        http.close()
        latencies.append(time.monotonic() - due)
        statuses[str(answer.status)] = statuses.get(str(answer.status), 0) + 1

    await asyncio.gather(*(one(i, *request) for i, request in enumerate(requests)))
    return {"statuses": statuses, "ms": milliseconds(sorted(latencies))}
