"""Release scenario (h): nobody pays; the delay queue or the sweep gives every unit back."""

import asyncio

from bench.load import Load
from bench.measurement import Row, pressed
from bench.stack import Stack
from bench.tally import milliseconds

OPENS_IN_S = 1.5
PAY_WITHIN_S = 5
RELEASED_WITHIN_S = 120.0
POLL_S = 0.2


async def release(stack: Stack, units: int, *, reminded: bool) -> Row:
    """Sell all units at once and wait. Lateness is from pay_by to the beginning of the transaction
    that released; a hold has 2 s of grace.

    Args:
        reminded: False: RabbitMQ refuses every reminder, so only the sweep finds what is due.
    """
    how = "with the delay queue" if reminded else "the delay queue refusing everything"
    row = Row(name="release", mix=f"{units:,} holds that nobody pays, {how}")
    if not reminded:
        await stack.refuse_reminders()
    sale = await stack.sale(units, 0, OPENS_IN_S, pay_within_s=PAY_WITHIN_S)
    load = Load(targets=stack.targets(), connections=64, seconds=PAY_WITHIN_S - 1.0)
    await pressed(stack, row, sale, load, buyers=units, processes=1)
    row.errors.pop("exhausted", None)
    async with asyncio.timeout(RELEASED_WITHIN_S):
        while len(late := await stack.books.lateness_ms(sale.id)) < units:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
    verdict = await stack.audit(sale.id)
    row.audit = "clean" if verdict.clean else "; ".join(f.detail for f in verdict.findings)
    row.more["released after pay_by, ms"] = milliseconds([ms / 1000 for ms in late])
    return row
