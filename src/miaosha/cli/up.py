"""`miaosha up`: everything on this machine until it is told to stop."""

from pathlib import Path
from typing import Annotated, Any

import typer

from miaosha.adapters import outlet
from miaosha.adapters.alive import notify
from miaosha.cli.demo import OnStack
from miaosha.cli.session import as_account, errors, finish, screen
from miaosha.settings import Settings, load
from miaosha.supervisor.fullstack import Stack
from miaosha.supervisor.parts import tied
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
        typer.Option(help="Account to become when root starts it (MIAOSHA_USER).", show_default=""),
    ] = None,
) -> None:
    """Run the whole platform on this machine: its servers, nginx and every role."""
    overrides: dict[str, Any] = {}
    if port is not None:
        overrides["port"] = port
    if data_dir is not None:
        overrides["data_dir"] = str(data_dir)
    if user is not None:
        overrides["user"] = user
    as_account(lambda: load(**overrides), keeps_data=True)
    outlet.install()  # nothing that is said may stop the platform
    finish(lambda: _up(load(**overrides), stack))


async def _up(settings: Settings, stack: Stack) -> int:
    try:
        return await _run(settings, stack)
    except WatchEnded as error:
        screen.print(f"ended: {error}", markup=False, soft_wrap=True)  # stderr may not take it
        raise


async def _run(settings: Settings, stack: Stack) -> int:
    stop = stop_on_signals()
    screen.print(f"starting on {settings.data_dir} …", soft_wrap=True)
    for own in tied(settings):
        _tell(own)
    async with platform(settings, _tell, stop, stack=stack) as running:
        if running is not None:
            parts = ", ".join(child.spec.name for child in running.children)
            screen.print(f"[bold green]ready[/] {running.settings.public_url}", soft_wrap=True)
            screen.print(f"[dim]{parts}[/]\nCtrl-C stops it.", soft_wrap=True)
            notify("READY=1")
            await stop.wait()
        notify("STOPPING=1")
        screen.print("draining …")
    screen.print("stopped")
    return 0


def _tell(text: str) -> None:
    style = "bold red" if text.startswith("!!") else "yellow"
    errors.print(text, style=style, markup=False, soft_wrap=True)
