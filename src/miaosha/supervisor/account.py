"""Account: makes a command that root started go on as another account.

setpriv becomes the account with its groups, and executes this command anew. No process stays
root's. For ports below 1024 the privilege to listen there is kept, and nginx keeps it too.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings
from miaosha.supervisor.servers.packaged_server import setpriv

ROOT: Final = 0
PRIVILEGED_BELOW: Final = 1_024  # where the kernel does not say
LOOKED_AT_MAX: Final = 10_000  # files of a data directory
TRY_S: Final = 60.0
AS_ROOT: Final = (
    "this runs as root, and so do the roles, the stores and nginx: name an account for all of them "
    "by --user NAME or MIAOSHA_USER"
)
# A Python of somebody else's home starts for nobody, or starts with another one's libraries.
TRY: Final = "import os, sys; os.chdir(sys.argv[1]); os.stat(sys.argv[2]); import miaosha.cli.main"


def become(settings: Settings, data: Path | None) -> None:
    """Execute this command anew as `settings.user`; return if that is nobody, or ourselves.

    Args:
        data: the data directory; made for the account if there is none. None: the command has
            none.

    Raises:
        SettingsError: the account cannot be had, or cannot use what it is given.
        DependencyDown: no setpriv.
    """
    if not settings.user:
        return
    account = _account(settings.user)
    if account.pw_uid == os.geteuid():
        return
    if os.geteuid() != ROOT:
        raise SettingsError(f"MIAOSHA_USER={settings.user!r}: only root can become another account")
    if data is not None:
        _give(data.absolute(), account)
    command = [*_setpriv(settings, account), sys.executable, "-P"]
    environ = _environ(account)
    _try(command, environ, data.absolute() if data else Path("/"), account)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], [*command, "-m", "miaosha.cli", *sys.argv[1:]], environ)  # noqa: S606


def _account(name: str) -> pwd.struct_passwd:
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise SettingsError(f"MIAOSHA_USER={name!r}: no such account on this machine") from None
    if account.pw_uid == ROOT:
        raise SettingsError(f"MIAOSHA_USER={name!r}: expected an account that is not root's")
    return account


def _give(data: Path, account: pwd.struct_passwd) -> None:
    """A data directory of the account. What is there and is another's stays so."""
    if not data.exists():
        try:
            data.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise SettingsError(
                f"MIAOSHA_DATA_DIR={data}: expected a directory we may write ({error.strerror})"
            ) from None
        os.chown(data, account.pw_uid, account.pw_gid)
        return
    for path in _within(data):
        owner = (path.stat() if path == data else path.lstat()).st_uid
        if owner != account.pw_uid:
            raise SettingsError(
                f"MIAOSHA_DATA_DIR={data}: {path} belongs to {_name(owner)}, not to "
                f"{account.pw_name}, as whom it would be used: give it away "
                f"(chown -R {account.pw_name}: …), or choose another directory"
            )


def _within(data: Path) -> Iterator[Path]:
    """The directory, and what lies in it down to two levels."""
    yield data
    looked_at = 0
    for depth in ("*", "*/*"):
        for path in data.glob(depth):
            yield path
            looked_at += 1
            if looked_at > LOOKED_AT_MAX:
                return


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"


def _setpriv(settings: Settings, account: pwd.struct_passwd) -> list[str]:
    user = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    command = [setpriv(), *user]
    ports = [settings.port, *([settings.redirect_port] if settings.redirect_port else [])]
    if min(ports) < _privileged_below():
        command += ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]
    return [*command, "--"]


def _privileged_below() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_bytes())
    except (OSError, ValueError):
        return PRIVILEGED_BELOW


def _environ(account: pwd.struct_passwd) -> dict[str, str]:
    """Ours, with the account's own names; root's runtime directory is not for it."""
    ours = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    return ours | {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "MIAOSHA_USER": account.pw_name,
    }


def _try(
    command: list[str], environ: dict[str, str], data: Path, account: pwd.struct_passwd
) -> None:
    """Raises SettingsError unless the account reaches its directory and this program."""
    said = ""
    try:
        tried = subprocess.run(
            [*command, "-c", TRY, str(data), str(Path(sys.executable).resolve())],
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRY_S,
            check=False,
        )
        if tried.returncode:
            said = (tried.stderr.strip().splitlines() or ["it said nothing"])[-1]
    except subprocess.TimeoutExpired:
        said = f"it took longer than {TRY_S:g} s"
    if said:
        raise SettingsError(
            f"MIAOSHA_USER={account.pw_name!r}: cannot use {data} or run {sys.executable} "
            f"({said}); choose places that it can reach, such as /var/lib and /opt, and a Python "
            "of the whole machine (make PYTHON=/usr/bin/python3 install)"
        )
