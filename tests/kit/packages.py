"""The servers that some tests start privately: RabbitMQ, MariaDB and PostgreSQL, and a library
that gives a server another clock; all from packages.

`python -m tests.kit.packages` finds them, installs those that are missing where it can (apt, as
root; none of them is started by that), or says what to install. Under CI a missing one is a
failure.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from miaosha.supervisor.servers import mariadb, rabbitmq
from tests.kit import postgres

SERVERS: dict[str, Callable[[], bool]] = {
    "rabbitmq-server": rabbitmq.installed,
    "mariadb-server": mariadb.installed,
    "postgresql": postgres.installed,
    "faketime": lambda: faketime() is not None,
}
INSTALL_S = 900
POLICY = Path("/usr/sbin/policy-rc.d")  # what Debian asks whether a service may be started
NOTHING_STARTS = "#!/bin/sh\nexit 101\n"


def faketime() -> Path | None:
    """libfaketime for programs with threads, to be preloaded; None if it is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def missing() -> list[str]:
    return [package for package, installed in SERVERS.items() if not installed()]


def install(packages: list[str]) -> None:
    """By apt, where that is ours to do."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with nothing_starts():
        for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(
                ["apt-get", "-q", "-o", f"DPkg::Lock::Timeout={INSTALL_S}", *words],
                env=environ,
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_S,
            )


@contextlib.contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Packages installed meanwhile do not start their services; the machine's own rule about that
    is back in its place afterwards."""
    aside = policy.with_name(policy.name + ".miaosha")
    if policy.exists():
        policy.rename(aside)
    try:
        policy.write_text(NOTHING_STARTS)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)
        if aside.exists():
            aside.rename(policy)


def main() -> int:
    """0: all are there. 1: one is missing and must not be. 2: what needs it goes untested here."""
    if absent := missing():
        install(absent)
    if not (absent := missing()):
        return 0
    sys.stderr.write(
        "Tests with real servers need packages this machine lacks. Debian, Ubuntu: "
        f"sudo apt install {' '.join(absent)}\n"
        "(`sudo systemctl disable --now` what that starts: the tests start their own.)\n"
    )
    return 1 if os.environ.get("CI") else 2


if __name__ == "__main__":
    raise SystemExit(main())
