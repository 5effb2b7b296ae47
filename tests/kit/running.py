"""Starts `miaosha …` as a user would, in a directory of its own, and looks at it from outside."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from miaosha.supervisor.servers.packaged_server import free_ports
from tests.kit.killing import kill
from tests.kit.waits import eventually

MIAOSHA = str(Path(sys.executable).with_name("miaosha"))
START_S = 120.0
STOP_S = 60.0  # RabbitMQ alone may take half of it


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def free_port() -> int:
    return free_ports(1)[0]


def environ(**settings: str) -> dict[str, str]:
    """Ours without any MIAOSHA_ setting but `settings`."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MIAOSHA_")}
    return plain | {f"MIAOSHA_{k.upper()}": v for k, v in settings.items()}


def miaosha(
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    stdin: str = "",
    within_s: float = 60,
    outside: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [MIAOSHA, *arguments],
        env={**environ(**(settings or {})), **(outside or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def descendants(pid: int) -> set[int]:
    """Every process below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    todo = [pid]
    while todo:
        above = todo.pop()
        below = {child for child, parent in parents.items() if parent == above}
        found |= below
        todo += below
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that run (a zombie does not)."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.add(pid)
    return found


class Up:
    """A running `miaosha up` (or demo)."""

    def __init__(
        self, process: subprocess.Popen[str], port: int, data: Path, host: str = "127.0.0.1"
    ) -> None:
        self.process = process
        self.port = port
        self.data = data
        self.host = host

    def get(self, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def ready(self) -> bool:
        assert self.process.poll() is None, "it ended: " + (self.data.parent / "out").read_text()
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def state(self) -> dict[str, Any]:
        """Its run.json."""
        found: dict[str, Any] = msgspec.json.decode((self.data / "run.json").read_bytes())
        return found

    def children(self) -> dict[str, int]:
        """Pid by role ("publisher", "store", …), from the command lines of its children."""
        roles = {}
        for pid in descendants(self.process.pid):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            line = " ".join(words)
            for role in ("publisher", "gateway", "api"):
                if f"-m miaosha.{role} " in line:
                    roles[role] = pid
            for role in ("consumer", "scheduler", "mailer"):
                if f"-m miaosha.workers {role} " in line:
                    roles[role] = pid
            for role in ("store", "broker"):
                if f"/{role}.sock" in line and "valkey-server" in line:
                    roles[role] = pid
        return roles

    def lose(self) -> None:
        """KILL it and everything below it, as when the machine's power fails."""
        kill(self.process.pid, signal.SIGSTOP)  # so that it starts nothing meanwhile
        for pid in {*descendants(self.process.pid), self.process.pid}:
            kill(pid, signal.SIGKILL)
        self.process.wait(STOP_S)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(sig)
        return self.process.wait(STOP_S)


@contextmanager
def running(
    home: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    ignored: Sequence[int] = (),
    said_to: int | None = None,
    command: Sequence[str] = (MIAOSHA,),
    outside: Mapping[str, str] | None = None,
) -> Iterator[Up]:
    """`miaosha up` with its data in `home`/data, ready; killed at the end if it still runs.

    Args:
        ignored: signals that are ignored when it starts.
        said_to: descriptor of its stdout and stderr; None: `home`/out.
        command: what `miaosha` is.
        outside: more environment.
    """
    with starting(
        home,
        *arguments,
        settings=settings,
        ignored=ignored,
        said_to=said_to,
        command=command,
        outside=outside,
    ) as up:
        eventually(up.ready, what="ready")
        yield up


@contextmanager
def starting(
    home: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    ignored: Sequence[int] = (),
    said_to: int | None = None,
    host: str = "127.0.0.1",
    command: Sequence[str] = (MIAOSHA,),
    outside: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[Up]:
    """The same, while it starts, its edge on the address `host`."""
    port, data = port or free_port(), home / "data"

    def before() -> None:
        for sig in ignored:
            signal.signal(sig, signal.SIG_IGN)

    with (home / "out").open("w") as out:
        process = subprocess.Popen(
            [*command, "up", "--port", str(port), "--data-dir", str(data), *arguments],
            env={**environ(**{"bind": host, **(settings or {})}), **(outside or {})},
            stdin=subprocess.DEVNULL,
            stdout=out if said_to is None else said_to,
            stderr=out if said_to is None else said_to,
            text=True,
            preexec_fn=before if ignored else None,
        )
    try:
        yield Up(process, port, data, host)
    finally:
        end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """In order, or by KILL after STOP_S; nothing below it is left."""
    left = descendants(process.pid)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid in alive(left):
        kill(pid, signal.SIGKILL)
