"""What `miaosha parked list` shows, for a person who will type it again."""

from rich.console import Console

from miaosha.cli.parked import table_of
from miaosha.ports.broker import Parked


def test_ids_are_whole_on_a_narrow_terminal() -> None:
    long = "0123456789abcdef" * 2
    items = [Parked(long, "sale.1.requests", "Expected `array`, got `int`", 1, b"junk" * 40)]
    console = Console(width=60)
    with console.capture() as shown:
        console.print(table_of(items))
    assert long in shown.get()
