"""Data directory: the lock, the secret keys and the addresses of an embedded platform.

Layout: miaosha.sqlite, store/ and broker/ (Valkey's files), or servers/ (those of the full stack);
files/ (pictures), secret.keys (0600), machine, edge.log and the one before it (.1), lock. While the
platform runs, run.json (0600) holds the addresses that other commands use.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from miaosha.adapters.keyring import generate
from miaosha.adapters.whole_files import first_text, write_whole
from miaosha.domain.errors import MiaoshaError, SettingsError
from miaosha.domain.urls import sqlite_url
from miaosha.settings import Settings
from miaosha.supervisor.run_directory import PREFIX, kept_from_cleaners

MACHINE_HOST_MAX = 24  # characters of the host's name in a machine's
DATABASE = "miaosha.sqlite"
SERVERS = "servers"  # of the full stack
DEFAULTS = Settings()


class InUse(MiaoshaError):
    """Another `miaosha up` works on this data directory."""


class Running(msgspec.Struct, frozen=True):
    """run.json: what runs on a data directory, for the CLI. Servers' addresses hold passwords."""

    pid: int
    run_dir: str
    database_url: str
    redis_url: str
    broker_url: str
    files_url: str
    mail_url: str
    public_url: str
    database_replica_url: str = ""


def prepare(path: Path) -> Path:
    """Make the directory (0700). Returns its absolute path. Raises SettingsError if we cannot."""
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
        (path / "files").mkdir(exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"MIAOSHA_DATA_DIR={path}: expected a directory we may write ({error.strerror})"
        ) from None
    return path


def needs_servers(path: Path, settings: Settings) -> bool:
    """Whether the directory holds the data of a full stack, which only its servers can read."""
    return settings.database_url == DEFAULTS.database_url and (path / SERVERS).is_dir()


def check_kind(path: Path, settings: Settings, *, full: bool) -> None:
    """Raises SettingsError if the directory holds the data of the other stack: neither sees what
    was sold on the other."""
    if not full and needs_servers(path, settings):
        raise SettingsError(
            f"MIAOSHA_DATA_DIR={path}: its data is in servers of its own; add --stack full, or "
            "give another directory"
        )
    if full and (path / DATABASE).exists():
        raise SettingsError(
            f"MIAOSHA_DATA_DIR={path}: its data is in SQLite; leave out --stack full, or give "
            "another directory"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Own the directory, and keep cleaners of temporary files from it. Raises InUse if owned."""
    with (path / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"MIAOSHA_DATA_DIR={path}: in use by another miaosha; stop it or give another one"
            ) from None
        with kept_from_cleaners(path):
            yield


def secret_keys(path: Path) -> str:
    """The ring in `secret.keys`, written (0600) on first use: `kid:base64url,…`."""
    return first_text(path / "secret.keys", generate())


def machine(path: Path) -> str:
    """The name, written on first use, of the set of roles on this directory among other sets that
    share its stores: the host's name and four random letters."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:MACHINE_HOST_MAX]
    return first_text(path / "machine", f"{host}-{secrets.token_hex(2)}")


def clear_running(path: Path) -> None:
    """Remove run.json, and the run directory it names: ours at the end, and at the start that of a
    killed predecessor."""
    old = running(path, alive=False)
    if old is not None and Path(old.run_dir).name.startswith(PREFIX):
        shutil.rmtree(old.run_dir, ignore_errors=True)
    with contextlib.suppress(OSError):
        (path / "run.json").unlink(missing_ok=True)


def is_running(path: Path, run: Path) -> bool:
    """Whether run.json names this process and its run directory."""
    found = running(path)
    return found is not None and (found.pid, found.run_dir) == (os.getpid(), str(run))


def write_running(path: Path, run: Path, settings: Settings) -> None:
    values = {
        name: getattr(settings, name)
        for name in Running.__struct_fields__
        if name not in ("pid", "run_dir")
    }
    state = Running(pid=os.getpid(), run_dir=str(run), **values)
    write_whole(path / "run.json", msgspec.json.encode(state))


def running(path: Path, *, alive: bool = True) -> Running | None:
    """What runs on this directory, or None. With `alive` False also what died there."""
    try:
        state = msgspec.json.decode((path / "run.json").read_bytes(), type=Running)
        if alive:
            if state.pid <= 0:  # to the system, all processes of our own group
                return None
            os.kill(state.pid, 0)
    except (OSError, msgspec.MsgspecError):
        return None
    return state


def embedded(settings: Settings, data: Path, stores: dict[str, str]) -> Settings:
    """`settings` with every address that was left at its default pointing at the embedded part.

    Args:
        stores: the addresses of the servers that were started (if any), by setting.
    """
    wanted = {
        "data_dir": str(data),
        "database_url": sqlite_url(data / DATABASE),
        "files_url": f"file:{data / 'files'}",
        "public_url": f"http://localhost:{settings.port}",
        **stores,
    }
    changed = {
        name: value
        for name, value in wanted.items()
        if name == "data_dir" or getattr(settings, name) == getattr(DEFAULTS, name)
    }
    if not settings.secret_keys:
        changed["secret_keys"] = secret_keys(data)
    return msgspec.structs.replace(settings, **changed)
