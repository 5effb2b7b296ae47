"""What `miaosha parked list` shows, for a person who will type it again."""

import io

from miaosha.cli.parked import table_of
from miaosha.ports.broker import Parked
from miaosha.ports.outbox import ParkedMail
from miaosha.serving.screen import Screen
from miaosha.usecases.parked import Item, ParkedKind

LONG = "0123456789abcdef" * 2
MESSAGE = Parked(LONG, "sale.1.requests", "Expected `array`, got `int`", 1, b"junk" * 40)
MAIL = ParkedMail(7, "won", "a.0", 3, 41, "ann@example.org", 8, "mail server: [red]away[/]", 1)
ITEMS = [
    Item(LONG, ParkedKind.MESSAGE, MESSAGE.queue, MESSAGE.reason, 1, message=MESSAGE),
    Item("mail-7", ParkedKind.MAIL, MAIL.event, MAIL.reason, 1, mail=MAIL),
]


def shown(width: int) -> str:
    out = io.StringIO()
    Screen(file=out, width=width).show(table_of(ITEMS))
    return out.getvalue()


def test_ids_are_whole_on_a_narrow_terminal() -> None:
    assert LONG in shown(60)


def test_a_mail_is_listed_with_its_reason_and_its_buyer_by_number() -> None:
    [line] = [line for line in shown(220).splitlines() if "mail-7" in line]
    assert "won" in line and "mail server: [red]away[/]" in line
    assert "sale 3, buyer 41" in line
    assert "ann" not in shown(220), "an address would stay in the terminal's history"
