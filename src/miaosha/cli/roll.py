"""Roll command: `miaosha roll` replaces the role processes of a running platform while it sells."""

from pathlib import Path
from typing import Annotated

import typer

from miaosha.cli.command import DataDir, finish, here, screen
from miaosha.domain.errors import SettingsError
from miaosha.supervisor import data_directory, rolling


def roll(
    role: Annotated[
        list[str] | None, typer.Argument(help="Only these roles.", show_default="all of them")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Replace every role process, one by one, by one of the version that is installed now; the sale
    goes on, and no request is refused."""

    async def work() -> None:
        settings = here(data_dir)
        found = data_directory.running(Path(settings.data_dir))
        if found is None:
            raise SettingsError(
                f"MIAOSHA_DATA_DIR={settings.data_dir}: nothing runs here; give --data-dir"
            )
        await rolling.ask(Path(found.run_dir), tuple(role or ()), screen.say)
        screen.say("done", style="bold green")

    finish(work)
