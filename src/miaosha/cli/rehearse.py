"""Rehearse commands: `miaosha rehearse` drives the platform with a crowd made by machine."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.live import Live
from rich.text import Text

from miaosha.cli.command import FAILED, finish, screen
from miaosha.domain.errors import SettingsError
from miaosha.serving.screen import cell
from miaosha.trials.rehearsal import leader
from miaosha.trials.rehearsal.client_protocol import Said
from miaosha.trials.rehearsal.leader import RehearsalOptions
from miaosha.trials.rehearsal.outcome import RehearsalOutcome, table

PLAIN_EVERY = 20  # without a terminal, one line of so many

app = typer.Typer(no_args_is_help=True, help="Rehearse a crowd.")


@app.callback()
def rehearse() -> None:
    """Rehearse a crowd."""


@app.command()
def sockets(
    connections: Annotated[int, typer.Option(min=1, max=10_000_000, help="Sockets to open.")],
    ramp: Annotated[
        float, typer.Option(min=0, help="Sockets opened a second; 0: as fast as possible.")
    ] = 0,
    hold: Annotated[float, typer.Option(min=0, help="Seconds of nothing but heartbeats.")] = 30,
    storm: Annotated[int, typer.Option(min=0, help="Sockets cut off at once at the end.")] = 0,
    url: Annotated[str, typer.Option(help="A deployment to drive, e.g. https://shop.test.")] = "",
    sale: Annotated[int, typer.Option(min=1, help="With --url: the sale to watch.")] = 1,
    listen: Annotated[
        str, typer.Option(help="Without --url: where the first private gateway listens.")
    ] = "127.0.0.1:20100",
    gateways: Annotated[
        int, typer.Option(min=0, max=500, help="Private gateways; 0: as many as are needed.")
    ] = 0,
    ping_interval: Annotated[
        float, typer.Option(min=1, max=3_600, help="Seconds between two heartbeats of a socket.")
    ] = 25,
    watch_apart: Annotated[
        bool,
        typer.Option("--watch-apart", help="Ask to watch by an event of its own after connecting."),
    ] = False,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write the outcome to this file.")
    ] = None,
) -> None:
    """Open real Socket.IO sessions, hold them through heartbeats, and measure.

    Without --url a private set is started: a Valkey, gateways on loopback ports, a sample sale.
    With --url, tokens are signed with MIAOSHA_SECRET_KEYS if it is set. Ends with 1 if a socket
    was lost or anything did not arrive.
    """
    options = RehearsalOptions(
        connections=connections,
        ramp_per_s=ramp,
        hold_s=hold,
        storm=storm,
        url=url,
        listen=listen,
        gateways=gateways,
        ping_interval_s=ping_interval,
        sale_id=sale,
        watch_apart=watch_apart,
        secret_keys=os.environ.get("MIAOSHA_SECRET_KEYS", ""),
    )
    finish(lambda: _run(options, json))


async def _run(options: RehearsalOptions, to: Path | None) -> int:
    if to is not None:
        _may_write(to)
    with ProgressLine() as progress:
        outcome = await leader.rehearse(options, progress.show, progress.note)
    screen.show(table(outcome))
    if to is not None:
        _write(to, outcome)
    return 0 if outcome.clean else FAILED


def _may_write(to: Path) -> None:
    """Asked before a rehearsal of minutes. Raises SettingsError."""
    try:
        to.open("ab").close()
    except OSError as error:
        raise SettingsError(f"--json {to}: {error.strerror}") from None


def _write(to: Path, outcome: RehearsalOutcome) -> None:
    to.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")


class ProgressLine:
    """One line that redraws itself; plain lines now and then without a terminal."""

    def __init__(self) -> None:
        self._live = Live(console=screen, auto_refresh=False, transient=True)
        self._shown = 0
        self._last = ""

    def __enter__(self) -> "ProgressLine":
        if screen.draws:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if screen.draws:
            self._live.stop()

    def note(self, text: str) -> None:
        screen.say(text)

    def show(self, what: str, said: Said) -> None:
        failed, lost = sum(said.failed.values()), sum(said.lost.values())
        line = f"{what}: {said.ready:,} ready, {said.reached:,} told, {said.pings:,} pings"
        line += f", {failed:,} failed" * bool(failed) + f", {lost:,} LOST" * bool(lost)
        if screen.draws:
            self._live.update(Text(cell(line)), refresh=True)
        elif what != self._last or self._shown % PLAIN_EVERY == 0:
            screen.say(line)
        self._shown += 1
        self._last = what
