"""Process plan: what `up` runs, as a list of Specs: the Valkeys it needs, every role, the edge.

`process_counts` says how many. Unix sockets lie in the run directory. With `metrics_port` set, role
processes get consecutive loopback ports from it, in the order of this list.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from miaosha.domain.urls import directory_of, unix_url
from miaosha.serving.roles import LISTENING
from miaosha.settings import Settings, environ_of
from miaosha.supervisor import data_directory
from miaosha.supervisor.child_spec import Alive, Ready, Spec
from miaosha.supervisor.data_directory import DEFAULTS
from miaosha.supervisor.edge import nginx_config
from miaosha.supervisor.edge.nginx_check import check_config
from miaosha.supervisor.hang_detector import Life
from miaosha.supervisor.health_probes import (
    Asked,
    Beats,
    http_ready,
    http_speaks,
    port_open,
    says_alive,
    working,
)
from miaosha.supervisor.process_counts import counts, metrics_ports, role_names
from miaosha.supervisor.servers.valkey import answers, speaks, valkey_command, valkey_log

VALKEY_STOP_S = 10.0
# Seconds from the request to end until the KILL: more than a role gives itself to finish (the
# slowest card takes ten), and reached only when something hangs.
STOP_S = {"publisher": 10.0, "consumer": 10.0, "api": 30.0}
GATEWAY_STOP_S = 5.0  # beyond drain_ms and the goodbyes
GOODBYES_PER_S = 20_000  # of all gateways together, that share the cores
# On one machine a flood of presses must leave room for those who sign in and pay, and for what
# publishers hand on: they step back, and refuse what they cannot take. A mail can wait longest.
NICE = {"publisher": 5, "mailer": 10}
DRAIN = (  # in this order, each group together
    ("edge",),
    ("publisher",),
    ("consumer",),
    ("gateway", "api"),
    ("scheduler", "mailer"),
    ("store", "broker", "rabbitmq", "mariadb"),
    ("epmd",),
)
SERVERS = (*DRAIN[-2], *DRAIN[-1])


@dataclass(frozen=True)
class Places:
    """Where things lie: data and run directories, and where children log (None: our stderr)."""

    data: Path
    run: Path
    logs: Path | None = None

    def log(self, name: str) -> Path | None:
        return self.logs / f"{name}.log" if self.logs else None

    def socket(self, name: str) -> Path:
        """Where the edge finds a role's process: a link to the socket of its latest generation."""
        return self.run / f"{name}.sock"

    def own_socket(self, name: str, generation: int) -> Path:
        """Where that generation listens."""
        return self.run / f"{name}~{generation}.sock"

    def alive_socket(self, name: str, generation: int) -> Path:
        """Where that generation shows us that it lives."""
        return self.run / f"{name}~{generation}.alive"

    @property
    def edge_log(self) -> Path:
        return self.data / "edge.log"

    @property
    def over(self) -> Path:
        """The edge's switch: its directory."""
        return self.run / "over"

    def point(self, name: str, generation: int) -> None:
        """Let new connections of the edge go to that generation, from one moment to the next."""
        link = self.run / f"{name}.link"
        link.unlink(missing_ok=True)
        link.symlink_to(self.own_socket(name, generation).name)
        link.replace(self.socket(name))


def stop_within_s(role: str, settings: Settings) -> float:
    """Seconds a role's process gets to end in order."""
    if role == "gateway":
        drain_s = settings.drain_ms / 1000
        return drain_s + GATEWAY_STOP_S + settings.sockets_max / GOODBYES_PER_S
    return STOP_S.get(role, Spec.stop_within_s)


def store_specs(settings: Settings, places: Places) -> tuple[list[Spec], dict[str, str]]:
    """The Valkeys whose setting was left at its default, and the URLs they will have."""
    specs: list[Spec] = []
    urls: dict[str, str] = {}
    for name, setting in (("store", "redis_url"), ("broker", "broker_url")):
        if getattr(settings, setting) != getattr(DEFAULTS, setting):
            continue
        args, socket = valkey_command(places.data, name, run_directory=places.run)
        specs.append(_valkey_spec(name, places, args, socket))
        urls[setting] = unix_url(socket)
    return specs, urls


def _valkey_spec(name: str, places: Places, args: list[str], socket: Path) -> Spec:
    return Spec(
        name,
        args,
        lambda pid: answers(socket),
        stop_within_s=VALKEY_STOP_S,
        log=places.log(name),
        says=valkey_log(places.data, name),
        heard=True,
        alive=working(lambda pid: speaks(socket)),
        socket=socket,
    )


def role_specs(settings: Settings, places: Places, beats: Beats) -> list[Spec]:
    """Every role process of a start."""
    return [role_spec(settings, places, beats, name) for name in role_names(settings)]


def role_spec(
    settings: Settings, places: Places, beats: Beats, name: str, generation: int = 0
) -> Spec:
    """One role process; the first generation is where the edge goes at once.

    Args:
        name: such as "publisher-0".
        generation: how many have gone before it on this place (a rolling upgrade).
    """
    role, _, number = name.partition("-")
    instance = _instance(settings, places, number, generation)
    alive = places.alive_socket(name, generation)
    if role in LISTENING:
        socket = places.own_socket(name, generation)
        argv = [f"miaosha.{role}", "--listen", f"unix:{socket}"]
        ready = _http_ready(socket)
        if not generation:
            places.point(name, generation)
    else:
        socket = None
        argv = ["miaosha.workers", role]
        ready = beats.of(role, instance)
    argv += ["--instance", instance, "--alive", str(alive)]
    argv += ["--die-with-parent", str(os.getpid())]
    if port := metrics_ports(settings).get(name):
        argv += ["--metrics", f"127.0.0.1:{port}"]
    return Spec(
        name,
        [sys.executable, "-m", *argv],
        ready,
        environ=environ_of(settings),
        stop_within_s=stop_within_s(role, settings),
        nice=NICE.get(role, 0),
        log=places.log(name),
        generation=generation,
        alive=_role_alive(alive, beats.moving(role, instance)),
        socket=socket,
    )


def _role_alive(socket: Path, beating: Asked) -> Alive:
    async def alive(pid: int) -> Life:
        life = await says_alive(socket)
        return Life.ALIVE if life is Life.NONE and await beating(pid) else life

    return alive


def _instance(settings: Settings, places: Places, number: str, generation: int) -> str:
    """A name that no other process of the role has, on this machine or on another one that works
    on the same stores."""
    alone = settings.redis_url.startswith(f"{unix_url(places.run)}/")
    machine = "" if alone else f"{data_directory.machine(places.data)}."
    return f"{machine}{number}~{generation}" if generation else f"{machine}{number}"


def tied(settings: Settings) -> list[str]:
    """What another machine on the same stores would have to share too, one sentence each: settings
    left to this machine's own data directory although the stores are elsewhere."""
    if settings.redis_url == DEFAULTS.redis_url:
        return []
    found = []
    for name, meaning in (
        ("secret_keys", "tokens made here are refused"),
        ("database_url", "nothing sold here is known"),
        ("broker_url", "requests accepted here are not decided"),
        ("files_url", "pictures uploaded here are missing"),
    ):
        if getattr(settings, name) == getattr(DEFAULTS, name):
            found.append(f"MIAOSHA_{name.upper()} is this machine's own: {meaning} on another one")
    return found


def _http_ready(socket: Path) -> Ready:
    return lambda pid: http_ready(socket)


def edge_spec(settings: Settings, places: Places) -> Spec:
    """Writes and checks nginx's configuration; blocks. Raises as `write_config`, `check_config`."""
    _write_edge(settings, places)
    check_config(places.run)
    return nginx_spec(settings, places.run, places.edge_log, places.log("edge"))


def restore(settings: Settings, places: Places, specs: Sequence[Spec]) -> None:
    """Write again what the edge goes by, where it vanished from the run directory.

    Args:
        specs: of what runs; of two with one name the successor first.

    Raises:
        OSError: it cannot be written.
    """
    for spec in specs:
        if spec.role in LISTENING and not os.path.lexists(places.socket(spec.name)):
            places.point(spec.name, spec.generation)
        elif spec.role == "edge" and not all(
            (places.run / name).exists() for name in nginx_config.FILES
        ):
            _write_edge(settings, places)


def _write_edge(settings: Settings, places: Places) -> None:
    places.over.mkdir(exist_ok=True)
    nginx_config.write_config(
        settings,
        places.run,
        {
            role: [f"unix:{places.socket(f'{role}-{i}')}" for i in range(counts(settings)[role])]
            for role in LISTENING
        },
        nginx_config.Site(
            run=places.run,
            files=Path(directory_of(settings.files_url)).absolute(),
            error_log=places.edge_log,
            over=places.over,
        ),
    )


def nginx_spec(settings: Settings, run: Path, error_log: Path, log: Path | None = None) -> Spec:
    """nginx on the configuration in `run`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)  # noqa: S104
    return Spec(
        "edge",
        nginx_config.nginx_command(error_log),
        lambda pid: port_open(host, settings.port),
        stop_signal=signal.SIGQUIT,
        log=log,
        says=None if error_log == Path("stderr") else error_log,
        cwd=run,
        heard=True,
        alive=working(lambda pid: http_speaks(host, settings.port)),
    )
