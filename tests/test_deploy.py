"""What is in deploy/ fits what is in src/: settings, commands, images, health, ports, secrets."""

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, cast

import click
import pytest
import trustme
import typer.main
from ruamel.yaml import YAML

from miaosha.cli.doctor import _machine as of_the_machine
from miaosha.cli.main import app
from miaosha.settings import Settings, load
from miaosha.supervisor.children import BAD_SETTINGS
from miaosha.supervisor.edge.nginx_config import nginx_binary
from miaosha.supervisor.process_plan import DRAIN, stop_within_s
from tests.kit.running import free_port

DEPLOY = Path(__file__).parent.parent / "deploy"
NGINX = ("nginx.conf", "security.conf", "proxied.conf", "page.conf", "problems.conf")
OURS = "miaosha:${VERSION:-0.1.0}"
SECRETS = ("PASSWORD", "SECRET_KEYS", "TLS_KEY", "TLS_CERTIFICATE", "PUBLIC_URL")
ONCE = ("migrate", "valkey-init")
PINNED = re.compile(r"[a-z0-9./-]+:v?[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.-]+)?")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?])?([^}]*)\}")

Service = Mapping[str, Any]


@pytest.fixture(scope="module")
def compose() -> Mapping[str, Any]:
    with (DEPLOY / "compose.yaml").open() as text:
        return cast(Mapping[str, Any], YAML(typ="safe").load(text))


@pytest.fixture(scope="module")
def services(compose: Mapping[str, Any]) -> Mapping[str, Service]:
    return cast(Mapping[str, Service], compose["services"])


def ours(services: Mapping[str, Service]) -> Iterator[tuple[str, Service]]:
    return ((name, of) for name, of in services.items() if of["image"] == OURS)


def filled(text: str) -> str:
    """As compose does it, with something for what has no default."""
    made = {"PUBLIC_URL": "https://shop.example"}
    return VARIABLE.sub(
        lambda found: made.get(found[1], found[3] if found[2] == ":-" else "abc"), text
    )


def test_every_setting_is_known_and_good(services: Mapping[str, Service]) -> None:
    for name, service in ours(services):
        environ = {key: filled(str(value)) for key, value in service["environment"].items()}
        assert all(key.startswith("MIAOSHA_") for key in environ), name
        assert isinstance(load(environ), Settings), name


def taken(words: list[str]) -> click.Context:
    """A command line of ours, as typer understands it; fails if it does not."""
    command, parent = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        parent = click.Context(cast(click.Command, command), parent=parent)
        command = command.commands[words.pop(0)]
    return cast(click.Command, command).make_context("", words, parent=parent)


def test_every_command_is_one(services: Mapping[str, Service]) -> None:
    commands = dict(ours(services))
    assert {"edge", "publisher", "api", "consumer", "scheduler", "mailer"} <= set(commands)
    for service in commands.values():
        made = taken([filled(str(word)) for word in service["command"]])
        if "listen" in made.params and made.params["role"] in ("publisher", "gateway", "api"):
            assert made.params["listen"] == "0.0.0.0:8000"
        if "metrics" in made.params:
            assert made.params["metrics"] == "0.0.0.0:9100", "where its health check asks"


def test_a_server_that_is_away_makes_no_container_unhealthy(
    services: Mapping[str, Service],
) -> None:
    """An engine that ends what is unhealthy would end every role for it."""
    for name, service in ours(services):
        asked = " ".join(service["healthcheck"].get("test", []))
        assert "/readyz" not in asked, name
        assert ("9100/livez" in asked) == (service["command"][0] == "run"), name
    assert "9100/livez" in (DEPLOY / "Dockerfile").read_text()


def test_the_doctor_asks_a_container_for_no_disk(services: Mapping[str, Service]) -> None:
    told = services["api"]["environment"]
    settings = load({key: filled(str(value)) for key, value in told.items()})
    assert "disk" not in dict(of_the_machine(settings)), "its file system is read-only"
    assert "disk" in dict(of_the_machine(Settings()))


def test_gateways_are_known_to_the_edge_by_their_numbers(services: Mapping[str, Service]) -> None:
    at = [w.partition("=")[2] for w in services["edge"]["command"] if w.startswith("--gateway=")]
    numbers = {
        name: word.rpartition(".")[2]
        for name, service in services.items()
        for word in service.get("command", ())
        if word.startswith("--instance=gateway.")
    }
    assert {f"{name}:8000": int(number) for name, number in numbers.items()} == {
        address: place for place, address in enumerate(at)
    }
    publishers = services["publisher"]["deploy"]["replicas"]
    assert services["edge"]["environment"]["MIAOSHA_PUBLISHERS"] == str(publishers)


def test_no_other_container_takes_an_address_that_is_given(
    compose: Mapping[str, Any], services: Mapping[str, Service]
) -> None:
    given = [
        (network, address)
        for service in services.values()
        if isinstance(service["networks"], dict)
        for network, how in service["networks"].items()
        if (address := how.get("ipv4_address"))
    ]
    assert len(given) == 1 + 6
    for network, address in given:
        [plan] = compose["networks"][network]["ipam"]["config"]
        assert ip_address(address) in ip_network(plan["subnet"])
        assert ip_address(address) not in ip_network(plan["ip_range"]), (network, address)
        assert address != plan["gateway"]


def test_every_role_has_the_time_to_end_that_it_takes(services: Mapping[str, Service]) -> None:
    for name, service in ours(services):
        if service["command"][0] == "run":
            settings = load({k: filled(str(v)) for k, v in service["environment"].items()})
            grace_s = int(service["stop_grace_period"].removesuffix("s"))
            assert grace_s > stop_within_s(service["command"][1], settings), name


def test_one_service_makes_the_image_of_all(services: Mapping[str, Service]) -> None:
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]


def test_images_are_pinned(services: Mapping[str, Service]) -> None:
    for name, service in services.items():
        assert service["image"] == OURS or PINNED.fullmatch(service["image"]), name
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("FROM "):
            assert PINNED.fullmatch(line.split()[1]), line


def test_everything_says_whether_it_is_well(services: Mapping[str, Service]) -> None:
    for name, service in services.items():
        if name in ONCE:
            assert service["restart"] == "no"
            continue
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
        for other, when in service.get("depends_on", {}).items():
            ended = other in ONCE
            wanted = "service_completed_successfully" if ended else "service_healthy"
            assert when == {"condition": wanted}, (name, other)


def test_only_the_edge_is_reached_from_outside(
    compose: Mapping[str, Any], services: Mapping[str, Service]
) -> None:
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert name == "edge" or port.startswith("127.0.0.1:"), (name, port)
        assert service.get("network_mode") is None, name
    inside = {name for name, network in compose["networks"].items() if network.get("internal")}
    for name in ("publisher", "gateway-0", "api", "consumer", "mariadb", "rabbitmq", "valkey-1"):
        assert set(services[name]["networks"]) <= inside, name


def test_what_is_ours_may_do_little(services: Mapping[str, Service]) -> None:
    for name, service in ours(services):
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert "\nUSER 10001:10001\n" in (DEPLOY / "Dockerfile").read_text()


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = (DEPLOY / ".env.example").read_text()
    for name, kind, said in VARIABLE.findall(text):
        if any(part in name for part in SECRETS):
            assert kind == ":?" and said, f"{name} must be given"
            assert re.search(rf"^{name}=$", example, re.MULTILINE), f"{name} in .env.example"
        else:
            assert kind == ":-", f"{name} needs a default"


def test_servers_keep_what_they_confirm(services: Mapping[str, Service]) -> None:
    assert {"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--binlog-format=ROW"} <= set(
        services["mariadb"]["command"]
    )
    nodes = [service for name, service in services.items() if re.fullmatch(r"valkey-\d", name)]
    assert len(nodes) == 6
    for node in nodes:
        words = " ".join(node["command"])
        assert "--appendfsync always" in words and "--maxmemory-policy noeviction" in words
        assert "--cluster-require-full-coverage no" in words, "as the doctor wants it"
    addresses = {node["networks"]["valkey"]["ipv4_address"] for node in nodes}
    asked = re.findall(r"172\.30\.2\.\d+", " ".join(services["valkey-init"]["command"]))
    assert set(asked) == addresses and len(addresses) == 6


def test_the_unit_runs_what_is_installed_and_lets_it_drain() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((DEPLOY / "systemd" / "miaosha.service").read_text())
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program.endswith("/.venv/bin/miaosha"), "where `make install` puts it"
    data_dir = taken(words).params["data_dir"]
    assert data_dir == Path("/var/lib") / service["StateDirectory"]
    # other commands read there, and in no /tmp of its own, where it runs
    assert service["RuntimeDirectory"], "`up` puts its sockets there"
    assert "PrivateTmp" not in service
    assert int(service["RestartPreventExitStatus"]) == BAD_SETTINGS
    assert service["KillMode"] == "mixed", "TERM goes to `up` alone"
    drain_s = sum(max(stop_within_s(role, Settings()) for role in group) for group in DRAIN)
    assert int(service["TimeoutStopSec"]) > drain_s


def generated(into: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MIAOSHA_")}
    subprocess.run([DEPLOY / "nginx" / "generate", into], env=kept | {"PATH": path}, check=True)


def test_the_example_for_nginx_is_fresh(tmp_path: Path) -> None:
    generated(tmp_path)
    for name in NGINX:
        assert (tmp_path / name).read_text() == (DEPLOY / "nginx" / name).read_text(), (
            f"deploy/nginx/{name} is stale: make docs"
        )


def test_nginx_takes_the_example(tmp_path: Path) -> None:
    """The file as it is, but for the places of this machine."""
    issued = trustme.CA().issue_cert("shop.example")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for name in NGINX:
        text = (DEPLOY / "nginx" / name).read_text()
        text = text.replace("/etc/miaosha/tls", str(tmp_path))
        text = text.replace("/run/miaosha", str(tmp_path))
        text = text.replace("/var/log/nginx/miaosha.log", "stderr").replace("user www-data;", "")
        for port in (443, 80):
            text = text.replace(f"listen 0.0.0.0:{port}", f"listen 127.0.0.1:{free_port()}")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [nginx_binary(), "-t", "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "[warn]" not in done.stderr, done.stderr
