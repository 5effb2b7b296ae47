"""Sale commands: what an operator does with sales, by the same use cases as the admin API."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from miaosha.cli.command import DataDir, finish, opened, screen
from miaosha.cli.terms import by_option, moment_ms, money, question, shown_ms, typed
from miaosha.domain.errors import Problem
from miaosha.domain.money import Money
from miaosha.domain.sale import Sale
from miaosha.ports.catalogue import SaleDraft
from miaosha.ports.sale_terms import Terms
from miaosha.ports.store import Reading
from miaosha.serving.screen import cell, write_json

if TYPE_CHECKING:
    from miaosha.bootstrap import ApiParts
    from miaosha.usecases.manage import Manage

ACTOR = "cli"
ASK = "Which button buys? | *Buy | Cancel"
SaleId = Annotated[int, typer.Argument(help="Id of the sale.", min=1, show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Asked = Annotated[
    list[str] | None,
    typer.Option(
        help='"Question? | wrong | *right | wrong", which a press answers; may be given several '
        "times.",
        show_default=ASK,
    ),
]
StandbyPayWithin = Annotated[
    int | None,
    typer.Option(help="Seconds to pay after standby.", min=1, show_default="pay-within"),
]
StandbyLimit = Annotated[
    int | None,
    typer.Option(help="Places on standby.", min=0, show_default="max(1000, 10 x stock)"),
]

app = typer.Typer(help="Sales: create, watch and steer them.", no_args_is_help=True)


def _manage(parts: "ApiParts") -> "Manage":
    from miaosha.usecases.manage import Manage

    return Manage(parts.catalogue, parts.trail, parts.control, parts.clock)


@app.command()
def create(
    title: Annotated[str, typer.Option(help="What the page says.")],
    price: Annotated[str, typer.Option(help='Price of one unit, such as "19.90 USD".')],
    stock: Annotated[int, typer.Option(help="Units on sale.", min=1)],
    opens: Annotated[
        str, typer.Option(help='ISO time (local), or seconds from now such as "+60".')
    ],
    closes: Annotated[
        str, typer.Option(help="ISO time (local), or seconds after opening.")
    ] = "+3600",
    product: Annotated[
        str, typer.Option(help="Id of a product, or the name of a new one.", show_default="title")
    ] = "",
    ask: Asked = None,
    pay_within: Annotated[int, typer.Option(help="Seconds to pay.", min=1)] = 600,
    standby_pay_within: StandbyPayWithin = None,
    standby_limit: StandbyLimit = None,
    draft: Annotated[bool, typer.Option("--draft", help="Do not publish it yet.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Create a sale, and publish it unless --draft is given."""

    async def work() -> None:
        from miaosha.usecases.terms import draft_of

        async with opened(data_dir) as parts:
            amount = money(price)
            opens_at_ms = moment_ms(opens, parts.clock.now_ms(), "opens")
            terms = draft_of(
                product_id=0,
                title=title,
                price=amount,
                stock=stock,
                opens_at_ms=opens_at_ms,
                closes_at_ms=moment_ms(closes, opens_at_ms, "closes"),
                questions=[question(text, i) for i, text in enumerate(ask or [ASK], 1)],
                pay_within_s=pay_within,
                standby_pay_within_s=standby_pay_within,
                standby_limit=standby_limit,
            )
            try:
                made = await _create(parts, terms, product or title, publish=not draft)
            except Problem as problem:
                raise by_option(problem) from None
            screen.say(f"sale {made.id} created, {made.phase}")

    finish(work)


async def _create(parts: "ApiParts", terms: SaleDraft, product: str, *, publish: bool) -> Sale:
    manage = _manage(parts)
    manage.check_terms(terms, publish=publish)  # before a product is made for them
    product_id = await _product(parts, product, terms.price)
    terms = msgspec.structs.replace(terms, product_id=product_id)
    return await manage.create(ACTOR, terms, publish=publish)


async def _product(parts: "ApiParts", wanted: str, price: Money) -> int:
    from miaosha.usecases.products import Products

    if wanted.isdigit():
        return int(wanted)
    products = Products(
        parts.catalogue, parts.trail, parts.files, parts.pictures, parts.control, parts.clock
    )
    made = await products.create(ACTOR, wanted, "", price)
    return made.id


@app.command("list")
def list_(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List every sale, drafts too, the latest first."""

    async def work() -> None:
        async with opened(data_dir) as parts:
            sales = [sale async for sale in _manage(parts).each()]
            now = parts.clock.now_ms()
        if json:
            write_json([_at(sale, now) for sale in sales])
            return
        screen.show(list_of(sales, now) if sales else "no sales yet")

    finish(work)


def _at(sale: Sale, now_ms: int) -> Sale:
    """With the phase that the tables show: no store writes down that a sale has opened."""
    return msgspec.structs.replace(sale, phase=sale.phase_at(now_ms))


def list_of(sales: Sequence[Sale], now_ms: int) -> Table:
    """One row for each."""
    table = Table(box=None)
    for column in ("id", "phase", "title", "stock", "price", "opens", "lasts"):
        table.add_column(column, no_wrap=column != "title")
    for sale in sales:
        table.add_row(
            str(sale.id),
            sale.phase_at(now_ms),
            cell(sale.title),
            f"{sale.stock:,}",
            str(sale.price),
            shown_ms(sale.opens_at_ms),
            str(timedelta(seconds=(sale.closes_at_ms - sale.opens_at_ms) // 1000)),
        )
    return table


@app.command()
def show(sale: SaleId, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one sale: its terms, its questions with the right answers, its ledger row, and its live
    counters."""

    async def work() -> None:
        async with opened(data_dir) as parts:
            found = await _manage(parts).get(sale)
            terms = await parts.ledger.sales.terms(sale)
            reading = await parts.store.reading(sale)
            now = parts.clock.now_ms()
        if json:
            write_json(
                {"sale": _at(found, now), "ledger": terms and terms._asdict(), "reading": reading}
            )
            return
        screen.show(table_of(found, terms, reading, now))

    finish(work)


def table_of(sale: Sale, terms: Terms | None, reading: Reading | None, now_ms: int) -> Table:
    """One sale, a line for each property; `terms` and `reading`: None where there are none."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    rows: list[tuple[str, object]] = [
        ("sale", f"{sale.id}  {sale.title}"),
        ("phase", sale.phase_at(now_ms)),
        ("product", f"{sale.product.id}  {sale.product.name}"),
        ("price", sale.price),
        ("opens", shown_ms(sale.opens_at_ms)),
        ("closes", shown_ms(sale.closes_at_ms)),
        ("pay within", f"{sale.pay_within_s} s, promoted {sale.standby_pay_within_s} s"),
    ]
    rows += [(f"question {asked.id}", typed(asked)) for asked in sale.questions]
    if sale.frozen:
        rows.append(("frozen", sale.frozen))
    if terms is not None:
        rows.append(("ledger", f"stock {terms.stock}, granted {terms.granted}, sold {terms.sold}"))
    if reading is not None:
        rows.append(
            (
                "live",
                f"free {reading.free}, held {reading.held}, paid {reading.paid}, "
                f"standby {reading.standby} of {reading.standby_limit}",
            )
        )
    for key, value in rows:
        table.add_row(key, cell(value))
    return table


def _steer(act: Callable[["Manage"], Awaitable[Sale]], data_dir: Path | None) -> None:
    async def work() -> None:
        async with opened(data_dir) as parts:
            sale = await act(_manage(parts))
            phase = sale.phase_at(parts.clock.now_ms())
        screen.say(f"sale {sale.id} is {phase}, stock {sale.stock}")

    finish(work)


@app.command()
def pause(sale: SaleId, data_dir: DataDir = None) -> None:
    """Refuse new purchases; payments, expiry and promotions go on."""
    _steer(lambda manage: manage.pause(ACTOR, sale), data_dir)


@app.command()
def resume(sale: SaleId, data_dir: DataDir = None) -> None:
    """End a pause."""
    _steer(lambda manage: manage.resume(ACTOR, sale), data_dir)


@app.command()
def close(sale: SaleId, data_dir: DataDir = None) -> None:
    """End the sale now: no new requests; holds and standby run out."""
    _steer(lambda manage: manage.close(ACTOR, sale), data_dir)


@app.command()
def stock(
    sale: SaleId,
    units: Annotated[int, typer.Argument(help="The new total, sold units included.", min=1)],
    data_dir: DataDir = None,
) -> None:
    """Set the total stock."""
    _steer(lambda manage: manage.stock(ACTOR, sale, units), data_dir)


@app.command()
def rebuild(sale: SaleId, data_dir: DataDir = None) -> None:
    """Write the live state anew from the ledger and the log; ends a freeze."""
    _steer(lambda manage: manage.rebuild(ACTOR, sale), data_dir)


@app.command()
def publish(sale: SaleId, data_dir: DataDir = None) -> None:
    """Publish a draft."""
    _steer(lambda manage: manage.publish(ACTOR, sale), data_dir)
