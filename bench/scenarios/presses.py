"""Press scenarios: rush, all wait, over, steady."""

import asyncio
from collections.abc import Awaitable, Callable

from bench.load import Load
from bench.measurement import Row, crowd, pressed
from bench.stack import Stack
from bench.watchers import press_spread, watchers

OPENS_IN_S = 1.5
UNITS, STANDBY = 10_000, 100_000  # of the rush, for FULL_CROWD buyers
FULL_CROWD = 750_000
WATCHERS = 100


def share(whole: int, buyers: int) -> int:
    """Units in proportion, for a crowd smaller than the full one."""
    return max(1, round(whole * min(1.0, buyers / FULL_CROWD)))


async def rush(
    stack: Stack,
    load: Load,
    buyers: int,
    processes: int,
    how: str = "",
    beside: Callable[[float], Awaitable[None]] | None = None,
) -> Row:
    """(a) Units for a few, standby for some, everybody else sold out."""
    expected = round(min(buyers, FULL_CROWD))
    units, standby = share(UNITS, expected), share(STANDBY, expected)
    row = Row(
        name="rush",
        mix=f"{units:,} units, {standby:,} standby places, everybody else sold out{how}",
    )
    sale = await stack.sale(units, standby, OPENS_IN_S)
    await pressed(stack, row, sale, load, buyers=buyers, processes=processes, beside=beside)
    return row


async def wait(stack: Stack, load: Load, buyers: int, processes: int) -> Row:
    """(b) Few units, everybody else stands by: the most a decision can cost."""
    units = share(1_000, buyers)
    row = Row(name="all wait", mix=f"{units:,} units, everybody else on standby")
    sale = await stack.sale(units, 10_000_000, OPENS_IN_S)
    await pressed(stack, row, sale, load, buyers=buyers, processes=processes)
    return row


async def over(stack: Stack, load: Load, buyers: int, processes: int) -> Row:
    """(c) Sold out long since: the publishers answer 410 by themselves."""
    row = Row(name="over", mix="sold out: every press is answered 410 by the publisher itself")
    sale = await stack.sale(1, 0, OPENS_IN_S)
    first = stack.first_user + buyers  # two buyers of their own take the unit
    few = Load(targets=load.targets, connections=1, seconds=0.5)
    last = Row(name="", mix="")
    await pressed(stack, last, sale, few, buyers=2, first_user=first, processes=1)
    await asyncio.sleep(2 * stack.settings.reading_max_age_ms / 1000)
    await pressed(stack, row, sale, load, buyers=buyers, processes=processes)
    return row


async def steady(stack: Stack, load: Load, buyers: int, processes: int) -> Row:
    """(d) An open loop at a fixed rate, and watchers who are told their result."""
    row = Row(
        name="steady",
        mix=f"{load.rate_per_s:,.0f} presses/s by the clock, latency from the scheduled instant",
    )
    sale = await stack.sale(1_000, 10_000_000, OPENS_IN_S)
    audience = crowd(stack, sale, WATCHERS, first_user=stack.first_user + buyers)
    found = await watchers(audience, stack.settings.port)

    async def beside(start: float) -> None:
        row.more |= await press_spread(found, start + 0.5, load.seconds - 1)

    try:
        await pressed(
            stack,
            row,
            sale,
            load,
            buyers=buyers,
            processes=processes,
            beside=lambda start: asyncio.create_task(beside(start)),
        )
    finally:
        for watcher in found:
            watcher.close()
    return row
