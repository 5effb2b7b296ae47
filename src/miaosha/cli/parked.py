"""`miaosha parked`: messages nobody could handle, kept for a person to look at."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Column, Table

from miaosha.cli.session import FAILED, DataDir, errors, finish, opened, screen
from miaosha.ports.broker import Parked
from miaosha.supervisor.screen import cell

PREVIEW = 60

app = typer.Typer(help="Messages that were set aside.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100, data_dir: DataDir = None
) -> None:
    """List parked messages, oldest first."""

    async def work() -> None:
        async with opened(data_dir) as parts:
            items = await parts.broker.parked(limit)
        if not items:
            screen.say("nothing is parked")
            return
        screen.show(table_of(items))

    finish(work)


def table_of(items: Sequence[Parked]) -> Table:
    """The ids are whole on a terminal of any width: `redrive` takes no less."""
    ids = Column("id", no_wrap=True, min_width=max(len(item.id) for item in items))
    table = Table(ids, "queue", "reason", "bytes", "begins with", box=None)
    for item in items:
        preview = repr(item.raw[:PREVIEW])[2:-1]
        shown = (item.id, item.queue, item.reason, len(item.raw), preview)
        table.add_row(*map(cell, shown))
    return table


@app.command()
def redrive(
    ids: Annotated[list[str], typer.Argument(help="Ids from `parked list`.")],
    data_dir: DataDir = None,
) -> None:
    """Put parked messages back at the end of their queues, each once."""

    async def work() -> int:
        missing = 0
        async with opened(data_dir) as parts:
            for parked_id in ids:
                done = await parts.broker.redrive(parked_id)
                missing += not done
                to = screen if done else errors
                said = "back in its queue" if done else "is not parked"
                to.say(cell(f"{parked_id}: {said}"))
                if done:
                    await parts.trail.append(
                        parts.clock.now_ms(), "cli", "parked.redrive", f"parked:{parked_id}", {}
                    )
        return FAILED if missing else 0

    finish(work)
