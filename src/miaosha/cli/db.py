"""Database commands: `miaosha db` brings the schema up to date."""

import asyncio

import typer

from miaosha.cli.command import DataDir, finish, here, screen

app = typer.Typer(help="The database schema.", no_args_is_help=True)


@app.command()
def upgrade(data_dir: DataDir = None) -> None:
    """Bring the database at MIAOSHA_DATABASE_URL to this version's schema."""

    async def work() -> None:
        from miaosha.adapters.sql.migrate import upgrade as migrate

        await asyncio.to_thread(migrate, here(data_dir).database_url)
        screen.say("schema is up to date")

    finish(work)


@app.callback()
def _db() -> None:
    """Keeps `db` a group though it has one command."""
