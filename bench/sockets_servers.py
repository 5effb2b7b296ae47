"""The servers that are compared: our gateway, python-socketio on uvicorn, Node's socket.io; and
ours behind nginx with TLS. Each starts privately and ends with its context.
"""

import asyncio
import contextlib
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from bench.servers import ended
from bench.sockets_measure import Subject
from miaosha.domain.sale import Phase, view
from miaosha.supervisor.child_spec import StartFailed
from miaosha.supervisor.die_with_parent import die_with_parent
from miaosha.supervisor.edge.nginx_config import nginx_binary
from miaosha.supervisor.health_probes import port_open
from miaosha.trials.rehearsal.leader import RehearsalOptions, gateway_settings
from miaosha.trials.rehearsal.private_gateways import (
    PrivateGateways,
    free_targets,
    private_gateways,
    sample,
)

RIVALS = Path(__file__).parent / "rivals"
LISTEN = "127.0.0.1:20100"
START_S = 30.0
SETTLE_S = 2.0
NGINX_WORKERS = 4  # each connection is two files, and a process may open 20,000
NGINX = """
user root; daemon off; pid nginx.pid; error_log error.log warn;
worker_processes {workers}; worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
    access_log off; client_body_temp_path b; proxy_temp_path p;
    fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    upstream gateways {{ least_conn; {gateways} }}
    server {{
        listen {listen} ssl reuseport backlog=4096;
        ssl_certificate cert.pem; ssl_certificate_key key.pem;
        ssl_session_cache off; ssl_session_tickets off; ssl_buffer_size 4k;
        location / {{
            proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade; proxy_read_timeout 300s;
            proxy_buffer_size 4k; proxy_buffers 2 4k; proxy_busy_buffers_size 4k;
        }}
    }}
}}
"""


@contextlib.asynccontextmanager
async def ours(
    directory: Path, gateways: int = 1, *, watch_apart: bool = False
) -> AsyncIterator[Subject]:
    """The gateway itself, told of changes over the bus; every socket has a token."""
    settings = gateway_settings(RehearsalOptions(connections=1))
    async with private_gateways(directory, LISTEN, gateways, _tell, settings) as running:
        await asyncio.sleep(SETTLE_S)
        keys = running.settings.secret_keys
        name = "miaosha gateway, with tokens" + ", `watch` apart" * watch_apart
        teller = Teller(running)
        yield Subject(
            name, running.targets, running.pids, teller, {}, keys, watch_apart=watch_apart
        )


class Teller:
    """Each call changes the sale's phase, so everybody is told."""

    def __init__(self, running: PrivateGateways) -> None:
        self._running = running
        self._open = False

    async def __call__(self) -> None:
        self._open = not self._open
        await self._running.show(Phase.OPEN if self._open else Phase.PAUSED)


@contextlib.asynccontextmanager
async def python_socketio() -> AsyncIterator[Subject]:
    command = [sys.executable, "-m", "bench.rivals.python_socketio"]
    async with _rival("python-socketio on uvicorn", command) as subject:
        yield subject


@contextlib.asynccontextmanager
async def node(directory: Path) -> AsyncIterator[Subject]:
    """Node's socket.io, installed from its lock file into `directory`."""
    binary, npm = shutil.which("node"), shutil.which("npm")
    if binary is None or npm is None:
        raise StartFailed("node and npm are needed on PATH for the comparison")
    place = directory / "node"
    shutil.copytree(RIVALS, place, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    installing = await asyncio.create_subprocess_exec(
        *die_with_parent([npm, "ci", "--silent", "--no-audit", "--no-fund"]),
        cwd=place,
        stdout=DEVNULL,
        process_group=0,
    )
    if await ended(installing):
        raise StartFailed("npm ci failed; is the registry reachable?")
    async with _rival("Node's socket.io", [binary, str(place / "server.mjs")]) as subject:
        yield subject


@contextlib.asynccontextmanager
async def _rival(name: str, command: Sequence[str]) -> AsyncIterator[Subject]:
    (target,) = free_targets(LISTEN, 1)
    event = view(sample(0), 0, sold_out=False, watching=0)
    arguments = [target.rpartition(":")[2], msgspec.json.encode(event).decode()]
    async with _process([*command, *arguments], target) as process:

        async def tell() -> None:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            await process.stdin.drain()

        yield Subject(name, [target], [process.pid], tell, {})


@contextlib.asynccontextmanager
async def secured(directory: Path, gateways: int) -> AsyncIterator[Subject]:
    """Ours behind nginx, which speaks TLS with a certificate made for the run."""
    await _certificate(directory)
    async with ours(directory, gateways) as inner:
        (listen,) = free_targets("127.0.0.1:21100", 1)
        servers = " ".join(f"server {target};" for target in inner.targets)
        text = NGINX.format(workers=NGINX_WORKERS, gateways=servers, listen=listen)
        (directory / "nginx.conf").write_text(text, "utf-8")
        command = [nginx_binary(), "-p", "./", "-e", "error.log", "-c", "nginx.conf"]
        async with _process(command, listen, directory) as process:
            pids = [process.pid, *_children(process.pid)]
            yield inner._replace(
                name="miaosha gateways behind nginx, wss",
                targets=[listen],
                also={"nginx": pids},
                tls=True,
            )


async def _certificate(directory: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    files = ["-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    making = await asyncio.create_subprocess_exec(
        *command.split(), *files, cwd=directory, stderr=DEVNULL, process_group=0
    )
    if await ended(making):
        raise StartFailed("openssl could not make a certificate")


@contextlib.asynccontextmanager
async def _process(
    command: Sequence[str], target: str, directory: Path | None = None
) -> AsyncIterator[Process]:
    """A server that is started in `directory` and answers at `target`; ended by its pid."""
    process = await asyncio.create_subprocess_exec(
        *die_with_parent(command), stdin=PIPE, stdout=DEVNULL, process_group=0, cwd=directory
    )
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(START_S):
            while process.returncode is None and not await port_open(  # noqa: ASYNC110
                host, int(port)
            ):
                await asyncio.sleep(0.1)
        if process.returncode is not None:
            raise StartFailed(f"{command[0]} ended with {process.returncode}")
        await asyncio.sleep(SETTLE_S)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text("utf-8").split()
    return [int(pid) for pid in found]


def _tell(text: str) -> None:
    sys.stderr.write(f"  {text}\n")
