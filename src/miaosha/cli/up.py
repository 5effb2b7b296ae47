"""Up command: `miaosha up` runs everything on this machine until it is told to stop."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from miaosha.cli.command import as_account, errors, finish, screen
from miaosha.cli.demo import OnStack
from miaosha.domain import service_links
from miaosha.serving import outlet
from miaosha.serving.alive import notify
from miaosha.settings import Settings, load
from miaosha.supervisor.process_plan import tied
from miaosha.supervisor.servers.full_stack import Stack
from miaosha.supervisor.up import platform, stop_on_signals
from miaosha.supervisor.watches import WatchEnded


def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the edge (MIAOSHA_PORT).", show_default="8000")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where everything is kept (MIAOSHA_DATA_DIR).", show_default="miaosha-data"
        ),
    ] = None,
    stack: OnStack = Stack.EMBEDDED,
    user: Annotated[
        str | None,
        typer.Option(
            help="Account to become when root starts it (MIAOSHA_USER).", show_default=False
        ),
    ] = None,
) -> None:
    """Run the whole platform on this machine: its servers, nginx and every role."""
    place = None if data_dir is None else str(data_dir)
    given = {"port": port, "data_dir": place, "user": user}
    overrides = {name: value for name, value in given.items() if value is not None}
    as_account(lambda: load(None, **overrides), keeps_data=True)
    outlet.install()  # nothing that is said may stop the platform
    finish(lambda: _up(load(None, **overrides), stack))


async def _up(settings: Settings, stack: Stack) -> int:
    try:
        return await _run(settings, stack)
    except WatchEnded as error:
        screen.say(f"ended: {error}")  # stderr may not take it
        raise


async def _run(settings: Settings, stack: Stack) -> int:
    stop = stop_on_signals()
    screen.say(f"starting on {settings.data_dir} …")
    for told in (*tied(settings), service_links.told(os.environ)):
        if told:
            _tell(told)
    async with platform(settings, _tell, stop, stack=stack) as running:
        if running is not None:
            parts = ", ".join(child.spec.name for child in running.children)
            screen.say(Text.assemble(("ready", "bold green"), f" {running.settings.public_url}"))
            screen.say(parts, style="dim")
            screen.say("Ctrl-C stops it.")
            notify("READY=1")
            await stop.wait()
        notify("STOPPING=1")
        screen.say("draining …")
    screen.say("stopped")
    return 0


def _tell(text: str) -> None:
    errors.say(text, style="bold red" if text.startswith("!!") else "yellow")
