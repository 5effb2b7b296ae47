"""(e) Twice the capacity is offered for a while; what is too much is refused at once, the rest of
the platform goes on, and afterwards everything is as before."""

import asyncio
import time
from typing import Any

import msgspec

from bench.load import Load
from bench.measure import Row, crowd, pressed
from bench.scenarios.orders import Checkouts, sign_in_body, signers
from bench.stack import Stack
from bench.tally import Tally, milliseconds
from bench.worker import Crew

EVERY_S = 0.05
OPENS_IN_S = 1.5
RECOVERY_S = 10.0
RECOVERY_RATE = 1_000.0
NORMAL_S = 0.05
CONNECTED_WITHIN_S = 4.0
REFUSALS = (429, 503)


async def flood(stack: Stack, load: Load, buyers: int, processes: int) -> Row:
    """`load` is the flood; the recovery is an open loop of RECOVERY_RATE right after it."""
    row = Row(
        name="flood",
        mix=f"{load.rate_per_s:,.0f} presses/s offered for {load.seconds:g} s (everybody may "
        "wait), a checkout and a sign-in every 50 ms beside it",
    )
    sides = round((load.seconds + 2) / EVERY_S)
    checkouts = await Checkouts.prepare(stack, sides, first_user=stack.first_user)
    body = sign_in_body(await signers(stack, 1))
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
    async with Crew(calm, after, 1) as recovery:

        async def beside(start: float) -> None:
            paying = asyncio.create_task(_each(stack, start, checkouts.requests))
            signs = ["/api/v1/sessions"] * len(checkouts.requests)
            signing = asyncio.create_task(_each(stack, start, [(p, body, "") for p in signs]))
            calmed = await recovery.run(start + load.seconds)
            row.more |= _recovered(calmed)
            row.more["checkout beside it"] = await paying
            row.more["sign-in beside it"] = await signing

        tally = await pressed(
            stack,
            row,
            sale,
            msgspec.structs.replace(load, expected=(202, *REFUSALS)),
            buyers=buyers,
            processes=processes,
            beside=lambda start: asyncio.create_task(beside(start)),
            lead_s=CONNECTED_WITHIN_S,
        )
    refused = tally.latencies_of(lambda status: status in REFUSALS)
    row.more["refused, ms"] = milliseconds(refused)
    return row


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
