"""Edge commands: `miaosha edge` runs nginx and its switch where the roles run on other machines."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from miaosha.bootstrap.servers import store
from miaosha.cli.command import as_account, errors, finish, screen
from miaosha.domain import service_links
from miaosha.serving import outlet
from miaosha.serving.alive import notify
from miaosha.settings import load
from miaosha.supervisor.edge.nginx_config import Site, write_config
from miaosha.supervisor.edge.standalone import running_edge
from miaosha.supervisor.edge.switch import switching
from miaosha.supervisor.server_watch import watched
from miaosha.supervisor.up import stop_on_signals
from miaosha.supervisor.watches import Alarm, beside

app = typer.Typer(help="The edge: nginx, and its switch for closed sales.", no_args_is_help=True)

Publisher = Annotated[
    list[str], typer.Option("--publisher", help="host:port or unix:/path; may be repeated.")
]
Gateway = Annotated[
    list[str],
    typer.Option("--gateway", help="Likewise; the first is instance 0, the next instance 1, …"),
]
Api = Annotated[list[str], typer.Option("--api", help="Likewise.")]
Resolver = Annotated[
    str,
    typer.Option(help="DNS server to ask for these names again and again: replicas come and go."),
]


@app.command()
def run(publisher: Publisher, gateway: Gateway, api: Api, resolver: Resolver = "") -> None:
    """Run nginx and the switch in the foreground, by MIAOSHA_… settings from the environment."""
    as_account(load)
    settings = load()
    addresses = {"publisher": publisher, "gateway": gateway, "api": api}
    outlet.install()

    async def work() -> int:
        stop = stop_on_signals()
        if ignored := service_links.told(os.environ):
            _tell(ignored)
        alarm = Alarm(stop, _tell)
        async with running_edge(settings, addresses, resolver, _tell, alarm):
            screen.say(f"listening on port {settings.port} for {settings.public_url}")
            notify("READY=1")
            await stop.wait()
        alarm.check()
        return 0

    finish(work)


@app.command()
def config(
    into: Annotated[Path, typer.Option(help="Directory for nginx.conf and what it includes.")],
    publisher: Publisher,
    gateway: Gateway,
    api: Api,
    static: Annotated[Path, typer.Option(help="Directory with the built pages.")],
    files: Annotated[Path, typer.Option(help="Directory with product pictures.")],
    run_dir: Annotated[Path, typer.Option(help="Where nginx may write.")] = Path("/run/miaosha"),
    over: Annotated[Path, typer.Option(help="Directory of `miaosha edge switch`.")] = Path(
        "/run/miaosha/over"
    ),
    error_log: Annotated[Path, typer.Option(help="A file, or stderr.")] = Path("stderr"),
    resolver: Resolver = "",
    user: Annotated[str, typer.Option(help="Account of nginx's workers.")] = "",
    cores: Annotated[int, typer.Option(help="Cores of that machine.", min=1)] = 2,
    open_files: Annotated[int, typer.Option(help="LimitNOFILE of nginx.", min=1024)] = 65_536,
) -> None:
    """Write nginx's configuration for an nginx that is run by other means."""

    async def work() -> None:
        settings = load()
        addresses = {"publisher": publisher, "gateway": gateway, "api": api}
        site = Site(
            run=run_dir.absolute(),
            files=files.absolute(),
            error_log=error_log if error_log == Path("stderr") else error_log.absolute(),
            over=over.absolute(),
            static=static.absolute(),
            resolver=resolver,
            user=user,
            cores=cores,
            open_files=open_files,
        )
        await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True)
        written = write_config(settings, into, addresses, site)
        screen.say(f"wrote {written}")

    finish(work)


@app.command()
def switch(
    directory: Annotated[
        Path, typer.Option(help="The directory that `miaosha edge config --over` names.")
    ],
) -> None:
    """Keep the switch for an nginx that is run by other means: a file for every sale that is
    over. Begins by taking all files away."""

    as_account(load)
    outlet.install()

    async def work() -> int:
        stop = stop_on_signals()
        alarm = Alarm(stop, _tell)
        settings = load()
        async with (
            switching(settings, directory, alarm),
            beside(watched([store(settings)], _tell), "watch of the store", alarm),
        ):
            await stop.wait()
        alarm.check()
        return 0

    finish(work)


def _tell(text: str) -> None:
    errors.say(text)
