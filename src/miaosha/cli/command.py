"""Command: how a command reaches the platform: settings, opened parts, and errors as one line.

A command finds the stores by MIAOSHA_… settings, or by the run.json of a running `miaosha up`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer
from rich.text import Text

from miaosha.domain.errors import MiaoshaError, Problem, SettingsError
from miaosha.domain.visible import visible, visible_lines
from miaosha.serving.screen import Screen
from miaosha.settings import Settings, load
from miaosha.supervisor import data_directory
from miaosha.supervisor.child_spec import StartFailed

if TYPE_CHECKING:  # a command that opens nothing never loads the use cases
    from miaosha.bootstrap import ApiParts

KEPT_URLS = ("database_url", "database_replica_url", "files_url", "mail_url", "public_url")
BAD_USAGE = 2
FAILED = 1
INTERRUPTED = 130
TERMINATED = 143

Result = TypeVar("Result")

screen = Screen()
errors = Screen(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Data directory of a running `miaosha up`.", show_default=False
    ),
]


def here(data_dir: Path | None) -> Settings:
    """Settings of this command: the environment, and what runs on the data directory."""
    settings = load() if data_dir is None else load(data_dir=str(data_dir))
    data = Path(settings.data_dir).absolute()
    found = data_directory.running(data)
    if found is None and data_directory.needs_servers(data, settings):
        raise SettingsError(
            f"MIAOSHA_DATA_DIR={settings.data_dir}: its servers do not run; start "
            "`miaosha up --stack full`"
        )
    stores = {} if found is None else {"redis_url": found.redis_url, "broker_url": found.broker_url}
    if found is not None:
        for name in KEPT_URLS:
            if getattr(settings, name) == getattr(data_directory.DEFAULTS, name):
                stores[name] = getattr(found, name)
    if not data.is_dir():
        return settings
    return data_directory.embedded(settings, data, stores)


def complete(settings: Settings) -> Settings:
    """`settings`, or an error when they lead to no store at all."""
    if (
        settings.redis_url == data_directory.DEFAULTS.redis_url
        and "MIAOSHA_REDIS_URL" not in os.environ
    ):
        raise SettingsError(
            f"MIAOSHA_DATA_DIR={settings.data_dir}: nothing runs here; start `miaosha up`, give "
            "--data-dir, or set MIAOSHA_REDIS_URL, MIAOSHA_BROKER_URL and MIAOSHA_DATABASE_URL"
        )
    return settings


@contextlib.asynccontextmanager
async def opened(data_dir: Path | None) -> AsyncIterator["ApiParts"]:
    """The ports and use cases an API process has, for the length of one command."""
    from miaosha import bootstrap

    settings = complete(here(data_dir))
    lenient = msgspec.structs.replace(settings, strict=0)  # a person may look at anything
    async with bootstrap.api(lenient) as parts:
        yield parts


def finish(work: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
    """Run a command to its end and exit with its status; an error is one line."""
    from miaosha.serving import logs

    logs.configure("cli", "0", "error")  # else a traceback would show secrets among its variables
    raise typer.Exit(guarded(lambda: to_its_end(work)) or 0)


def to_its_end(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """What `work` comes to. INT and TERM cancel it, so that it ends what it has started; then it
    raises KeyboardInterrupt or CancelledError. One that was ignored at the start stays ignored."""

    async def cancelled_by_term() -> Result:
        task = asyncio.current_task()
        assert task is not None
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work()

    return asyncio.run(cancelled_by_term())


def as_account(settings: Callable[[], Settings], *, keeps_data: bool = False) -> None:
    """Go on as the account that the settings name, if root has started this command.

    Args:
        keeps_data: the command works on the data directory.
    """
    from miaosha.supervisor import account

    def work() -> None:
        found = settings()
        account.become(found, Path(found.data_dir) if keeps_data else None)

    if status := guarded(work):
        raise typer.Exit(status)


def guarded(work: Callable[[], int | None]) -> int | None:
    """Run `work`; a MiaoshaError, or a file that cannot be had, becomes one line on stderr and an
    exit status; INT and TERM the statuses a shell has for them."""
    try:
        return work()
    except MiaoshaError as error:
        errors.say(Text.assemble(("miaosha:", "red"), f" {_line(error)}"))
        return _status(error)
    except OSError as error:
        if error.filename is None or isinstance(error, BrokenPipeError):
            raise
        errors.say(f"miaosha: {visible(str(error.filename))}: {error.strerror}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except asyncio.CancelledError:
        return TERMINATED


def _line(error: MiaoshaError) -> str:
    from miaosha.serving.waiting import waiting

    if isinstance(error, Problem):
        where = f" ({error.field})" if error.field else ""
        return visible(f"{error.code}{where}: {error}")
    return visible_lines(waiting.explained(str(error)))


def _status(error: MiaoshaError) -> int:
    if isinstance(error, StartFailed):
        return error.status
    if isinstance(error, SettingsError | data_directory.InUse):
        return BAD_USAGE
    if isinstance(error, Problem) and error.code == "bad_request":
        return BAD_USAGE
    return FAILED
