"""Report: the numbers of the sale at a demo's end, and whether everything that was said is true."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.rule import Rule
from rich.table import Table

from miaosha.domain.money import Money
from miaosha.serving.screen import Screen, cell
from miaosha.trials.checker import SoldRows
from miaosha.trials.crowd.crowd_plan import BuyerKind, View
from miaosha.trials.percentiles import percentile

SHOWN_MAX = 20
OUTCOMES = ("paid", "expired", "declined", "left", "closed", "sold_out")


def outcomes(views: Iterable[View]) -> Counter[str]:
    """Buyers with an accepted request by how it ended for them; `closed`: stood by to the end."""
    ends: Counter[str] = Counter()
    for view in views:
        if view.accepted:
            fates = [_fate(told) for told in view.told.values()]
            ends[next((end for end in OUTCOMES if end in fates), view.state)] += 1
    return ends


def _fate(told: Sequence[str]) -> str:
    """A settled sale says `closed` of everything but its rows; what was said before tells more."""
    said = [state for state in told if state != "closed"]
    return "closed" if not said or said[-1] == "standby" else said[-1]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common()) or "none"


def show(
    screen: Screen, ledger: SoldRows, views: Sequence[View], mails_written: int, currency: str
) -> None:
    """Print the numbers."""
    answers: Counter[str] = Counter()
    for view in views:
        answers.update(view.answers)
    waits = sorted(  # the deaf cut their own line before the result
        view.result_ms for view in views if view.result_ms >= 0 and view.kind is not BuyerKind.DEAF
    )
    presses = sum(view.presses for view in views)
    sent: Counter[str] = Counter(event for event, _, state in ledger.mails if state == "sent")
    ended: Counter[str] = Counter(hold.reason or "paid" for hold in ledger.holds)
    taken = Money(sum(amount for _, _, _, amount in ledger.orders), currency)
    accepted = sum(len(view.accepted) for view in views)
    with_one = sum(bool(view.accepted) for view in views)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("buyers", f"{len(views):,} pressed {presses:,} times")
    table.add_row("accepted", f"{accepted:,} requests of {with_one:,} buyers")
    table.add_row("answers", _counts(answers))
    table.add_row("outcomes", _counts(outcomes(views)))
    table.add_row(
        "holds",
        f"{len(ledger.holds):,}: paid {ended['paid']:,}, expired {ended['expired']:,}, "
        f"declined {ended['declined']:,}; promoted from standby "
        f"{sum(hold.promoted for hold in ledger.holds):,}",
    )
    table.add_row("orders", f"{len(ledger.orders):,} of {ledger.stock:,} units, {taken}")
    table.add_row("mails", f"{mails_written:,} ({_counts(sent)})")
    table.add_row(
        "press → result",
        f"p50 {percentile(waits, 50):,.0f} ms, p99 {percentile(waits, 99):,.0f} ms "
        f"of {len(waits):,} buyers",
    )
    screen.show(Rule("report", style="dim"), table)


def verdict(screen: Screen, broken: Sequence[str]) -> int:
    """Print what is broken, and the last line; the exit status."""
    for line in broken[:SHOWN_MAX]:
        screen.say(f"  ✗ {cell(line)}", style="red")
    if len(broken) > SHOWN_MAX:
        screen.say(f"  … and {len(broken) - SHOWN_MAX:,} more", style="red")
    if broken:
        screen.say(f"audit: broken, {len(broken):,} findings", style="bold red")
        return 1
    screen.say("audit: clean", style="bold green")
    return 0
