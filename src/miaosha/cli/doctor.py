"""Doctor: checks this machine and the configured parts, and whether they keep what they confirm."""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from miaosha.bootstrap.examining import examine
from miaosha.cli.command import FAILED, DataDir, finish, here, opened, screen
from miaosha.domain.errors import DependencyDown, MiaoshaError, SettingsError
from miaosha.domain.findings import Examined, Fitness, judged
from miaosha.ports.heartbeats import Heartbeat
from miaosha.serving.roles import LISTENING, WORKERS
from miaosha.serving.screen import cell
from miaosha.settings import Settings
from miaosha.supervisor import data_directory
from miaosha.supervisor.edge.nginx_config import nginx_binary
from miaosha.supervisor.machine import fit
from miaosha.supervisor.machine.capacity import this_machine
from miaosha.supervisor.machine.demands import free_bytes, of_settings
from miaosha.supervisor.machine.kernel import UNLIMITED
from miaosha.supervisor.servers.valkey import valkey_binary
from miaosha.supervisor.start_checks import check_ports
from miaosha.usecases.parked import Counts

FILES_WANTED = 4_096
DISK_WANTED = 1_000_000_000
CHECK_S = 5.0


Strict = Annotated[bool, typer.Option("--strict", help="Exit code 1 on what is refused, too.")]


def doctor(data_dir: DataDir = None, strict: Strict = False) -> None:
    """Check this machine, and the parts of a running platform; exit code 1 if something fails."""

    async def work() -> int:
        settings = here(data_dir)
        good = True
        for name, check in _machine(settings):
            good &= _line(name, check)
        found = _limits(settings)
        if data_directory.running(Path(settings.data_dir)) or _elsewhere(settings):
            good &= await _parts(data_dir, found)
            found += await examine(settings)
        else:
            _line("free port", lambda: _free(settings))
            screen.say("  –    nothing runs on this data directory", style="dim")
        screen.show("", table_of(found))
        refused = any(finding.verdict is Fitness.REFUSED for finding in found)
        return FAILED if not good or (strict and refused) else 0

    finish(work)


COLOURS = {Fitness.OK: "green", Fitness.WARNING: "yellow", Fitness.REFUSED: "red"}


def table_of(found: Sequence[Examined]) -> Table:
    """What was found; on a narrow screen, or none, what to change follows below each row."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "part", "what"):
        table.add_column(title, no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in found:
        verdict = Text(finding.verdict, style=COLOURS[finding.verdict])
        told = Text(cell(finding.found))
        if finding.advice:
            told.append(f"\n→ {cell(finding.advice)}", style="dim")
        table.add_row(verdict, cell(finding.part), cell(finding.what), told)
    return table


def _line(name: str, check: Callable[[], str]) -> bool:
    try:
        found = check()
    except (MiaoshaError, OSError, subprocess.SubprocessError) as error:
        _fails(name, str(error))
        return False
    _good(name, found)
    return True


def _good(name: str, found: str) -> None:
    screen.say(Text.assemble("  ", ("ok", "green"), f"   {name}: {cell(found)}"))


def _fails(name: str, why: str) -> None:
    screen.say(Text.assemble("  ", ("FAIL", "red"), f" {name}: {cell(why)}"))


def _machine(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "python", lambda: ".".join(map(str, sys.version_info[:3]))
    yield "valkey", lambda: _version(valkey_binary(), "--version")
    yield "nginx", lambda: _version(nginx_binary(), "-v")
    yield "open files", _files
    place = Path(settings.data_dir).absolute()
    if place.exists() or not _elsewhere(settings):  # a role alone keeps nothing on this disk
        yield "disk", lambda: _disk(place)


def _limits(settings: Settings) -> list[Examined]:
    """What the kernel allows, for what the settings ask."""
    machine = this_machine()
    place = Path(settings.data_dir).absolute()
    kept_here = place.exists() or not _elsewhere(settings)
    disk_free = free_bytes(place) if kept_here else UNLIMITED
    try:
        demand = of_settings(machine, settings, disk_free)
    except SettingsError as error:
        files = f"{machine.descriptors:,}"
        return [
            Examined(fit.MACHINE, "open files of a process", files, Fitness.REFUSED, str(error))
        ]
    return fit.found(machine, demand)


def _version(binary: str, option: str) -> str:
    done = subprocess.run(
        [binary, option],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=10,
        check=True,
    )
    return (done.stdout + done.stderr).strip().splitlines()[0]


def _files() -> str:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES_WANTED:
        raise OSError(f"at most {hard} per process: raise the limit (ulimit -Hn) to {FILES_WANTED}")
    return "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,} per process"


def _disk(path: Path) -> str:
    while not path.exists():
        path = path.parent
    if not os.access(path, os.W_OK):
        raise OSError(f"{path} cannot be written")
    free = shutil.disk_usage(path).free
    if free < DISK_WANTED:
        raise OSError(f"{free / 1e9:.1f} GB free in {path}, wanted {DISK_WANTED / 1e9:.0f}")
    return f"{free / 1e9:.0f} GB free"


def _free(settings: Settings) -> str:
    check_ports(settings)
    return str(settings.port)


def _elsewhere(settings: Settings) -> bool:
    return settings.redis_url != data_directory.DEFAULTS.redis_url


async def _parts(data_dir: Path | None, found: list[Examined]) -> bool:
    """Whether the parts answer; what waits for a person goes into `found`."""
    async with opened(data_dir) as parts:
        checks = {
            "database": parts.ledger.ping,
            "store": parts.store.now_ms,
            "broker": parts.broker.ping,
        }
        good = True
        for name, check in checks.items():
            try:
                async with asyncio.timeout(CHECK_S):
                    await check()
                _good(name, "answers")
            except (MiaoshaError, TimeoutError) as error:
                _fails(name, str(error) or "no answer")
                good = False
        beats = await parts.heartbeats.alive() if good else []
        if good:
            found.append(parked(await parts.parking.counts()))
    return _line("roles alive", lambda: roles(beats)) and good


def parked(counts: Counts) -> Examined:
    """What was given up on: nothing is lost, and somebody waits for it."""
    what = f"{counts.mails} mails, {counts.messages} messages"
    advice = "miaosha parked list, then miaosha parked redrive"
    return judged("platform", "parked", what, not sum(counts), Fitness.WARNING, advice)


def roles(beats: Sequence[Heartbeat]) -> str:
    """The processes that beat, by name. Raises DependencyDown naming roles that have none."""
    if missing := sorted(set(LISTENING + WORKERS) - {beat.role for beat in beats}):
        raise DependencyDown(f"no heartbeat of a {', '.join(missing)}")
    return " ".join(sorted(f"{beat.role}-{beat.instance}" for beat in beats))
