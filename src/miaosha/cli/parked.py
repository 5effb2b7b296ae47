"""Parked commands: `miaosha parked` lists what was given up on, and sends it again."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Column, Table

from miaosha.cli.command import BAD_USAGE, FAILED, DataDir, errors, finish, opened, screen
from miaosha.cli.terms import shown_ms
from miaosha.serving.screen import cell
from miaosha.usecases.parked import Item

ACTOR = "cli"
PREVIEW = 40

app = typer.Typer(help="Messages and mails that were given up on.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="Rows to show at most.", min=1, max=1000)] = 100,
    data_dir: DataDir = None,
) -> None:
    """List what is parked, the newest first."""

    async def work() -> None:
        async with opened(data_dir) as parts:
            items = await parts.parking.list(limit)
            counts = await parts.parking.counts()
        if not items:
            screen.say("nothing is parked")
            return
        screen.show(table_of(items))
        if sum(counts) > len(items):
            screen.say(f"… of {counts.messages} messages and {counts.mails} mails")

    finish(work)


def table_of(items: Sequence[Item]) -> Table:
    """The ids are whole on a terminal of any width: `redrive` takes no less."""
    ids = Column("id", no_wrap=True, min_width=max(len(item.id) for item in items))
    table = Table(ids, "kind", "what", "reason", "since", "about", box=None)
    for item in items:
        shown = (
            item.id,
            item.kind,
            item.source,
            item.reason,
            shown_ms(item.parked_at_ms),
            _about(item),
        )
        table.add_row(*map(cell, shown))
    return table


def _about(item: Item) -> str:
    """Of a mail whose it is, by number: an address would stay in the terminal's history. Of a
    message how it begins."""
    if item.mail is not None:
        return f"sale {item.mail.sale_id}, buyer {item.mail.user_id}"
    raw = item.message.raw if item.message else b""
    return f"{len(raw)} bytes: {repr(raw[:PREVIEW])[2:-1]}"


@app.command()
def redrive(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids from `parked list`.")] = None,
    mails: Annotated[bool, typer.Option("--mails", help="Send all parked mails again.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Send what is parked again: messages at the end of their queues, mails under their old
    Message-ID. Each once: a repeated command finds nothing."""
    if bool(ids) == mails:
        errors.say("miaosha: give ids, or --mails for all mails")
        raise typer.Exit(BAD_USAGE)

    async def work() -> int:
        missing = 0
        async with opened(data_dir) as parts:
            if mails:
                screen.say(f"{await parts.parking.redrive_mails(ACTOR)} mails are sent again")
            for item_id in ids or ():
                done = await parts.parking.redrive(ACTOR, item_id)
                missing += not done
                to = screen if done else errors
                said = "back in its queue" if done else "is not parked"
                to.say(cell(f"{item_id}: {said}"))
        return FAILED if missing else 0

    finish(work)
