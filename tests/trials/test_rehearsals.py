"""Whole rehearsals, small: the numbers add up; a machine that is too small says so."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from miaosha.cli.main import app
from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.supervisor.machine.capacity import Machine, sources
from miaosha.trials.rehearsal.client_processes import (
    IN_FLIGHT_MAX,
    LOOKS_PER_S,
    ClientProcesses,
    plans,
)
from miaosha.trials.rehearsal.client_protocol import ClientPlan, Said
from miaosha.trials.rehearsal.leader import RehearsalOptions, gateway_settings, rehearse
from miaosha.trials.rehearsal.outcome import RehearsalOutcome, table
from miaosha.trials.rehearsal.private_gateways import SALE_ID, free_targets, private_gateways
from miaosha.trials.rehearsal.steps import Rehearsal
from tests.kit.running import free_port

ROOMY = Machine(20_000, 2_400_000, (32_768, 60_999), 24_000_000_000, 4_096, 2)


async def test_five_thousand_come_hear_and_come_back_after_a_storm() -> None:
    shown: list[tuple[str, int]] = []

    def show(what: str, said: Said) -> None:
        shown.append((what, said.ready))

    options = RehearsalOptions(
        connections=5_000,
        hold_s=2.5,
        storm=5_000,
        gateways=2,
        ping_interval_s=2.0,
        listen=f"127.0.0.1:{free_port()}",
    )
    outcome = await rehearse(options, show, lambda text: None)
    assert outcome.clean, msgspec.json.encode(outcome)
    assert outcome.ready == outcome.clients.ready == 5_000 and not outcome.clients.failed
    assert outcome.broadcast and outcome.broadcast.delivery.count == 5_000
    assert outcome.busy_broadcast and outcome.busy_broadcast.delivery.count == 5_000
    assert outcome.personal and outcome.personal.latency.count == outcome.personal.sent > 0
    assert outcome.busy_personal and not outcome.busy_personal.missing
    assert outcome.storm_sockets == 5_000 and outcome.storm_s and outcome.storm_s > 0
    assert outcome.clients.attempts == 10_000
    assert outcome.bytes_per_connection is not None and outcome.bytes_per_connection < 2_048
    assert outcome.client_bytes_per_connection < 1_024
    assert outcome.empty_gateway_mb is not None and outcome.empty_gateway_mb < 40
    assert outcome.pings > 0
    assert {"connecting", "storm"} <= {what for what, _ in shown}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outcome.json"
    words = ["rehearse", "sockets", "--connections", "50", "--hold", "0", "--gateways", "1"]
    words += ["--listen", f"127.0.0.1:{free_port()}"]
    with pytest.raises(SystemExit) as ended:
        app([*words, "--json", str(path)])
    assert ended.value.code == 0
    outcome = msgspec.json.decode(path.read_bytes(), type=RehearsalOutcome)
    assert outcome.ready == 50 and outcome.clean
    assert "50 of 50" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_said_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["rehearse", "sockets", "--connections", "9000000"]
    with pytest.raises(SystemExit) as ended:
        app([*words, "--json", str(tmp_path / "nowhere" / "outcome.json")])
    assert ended.value.code == 2
    assert "nowhere/outcome.json: No such file or directory" in capsys.readouterr().err


async def test_a_url_that_is_none() -> None:
    with pytest.raises(SettingsError, match=r"--url shop\.test: expected http"):
        await rehearse(
            RehearsalOptions(connections=1, url="shop.test"), lambda *_: None, lambda _: None
        )


def test_processes_and_addresses() -> None:
    assert ROOMY.per_process == 19_000
    assert ROOMY.gateways(1_000) == 2 and ROOMY.gateways(1_000_000) == 53
    assert sources(1_000_000)[-1] == "127.0.4.250" and len(set(sources(1_000_000))) == 1_000
    plan = ClientPlan(
        first=0, connections=100_001, rate_per_s=600, targets=[], sources=[], host="", sale_id=1
    )
    shares = plans(plan, 19_000)
    assert [share.connections for share in shares] == [16_666] + [16_667] * 5
    assert [share.first for share in shares][1:3] == [16_666, 33_333]
    assert {share.rate_per_s for share in shares} == {100.0}


@pytest.mark.parametrize("connections", [1_000, 100_000, 1_000_000])
def test_many_processes_are_no_more_in_the_way_than_one(connections: int) -> None:
    plan = ClientPlan(
        first=0,
        connections=connections,
        rate_per_s=0,
        targets=[],
        sources=[],
        host="",
        sale_id=1,
    )
    shares = plans(plan, 19_000)
    assert sum(share.in_flight_max for share in shares) <= IN_FLIGHT_MAX
    assert min(share.in_flight_max for share in shares) >= 32
    assert sum(1 / share.pause_s for share in shares) == pytest.approx(LOOKS_PER_S)


async def test_a_step_that_fails_leaves_what_was_measured(run_dir: Path) -> None:
    outcome = RehearsalOutcome(connections=5, gateways=1, client_processes=1, ready=5)
    rehearsal = Rehearsal(ClientProcesses(run_dir), outcome, None, 0, lambda *_: None)

    async def nobody_answers() -> None:
        raise TimeoutError

    async def store_is_away() -> None:
        raise DependencyDown("store: away")

    await rehearsal.step("broadcasts", nobody_answers())
    await rehearsal.step("counting", store_is_away())
    assert outcome.unfinished == [
        "broadcasts: a client process did not answer",
        "counting: store: away",
    ]
    assert outcome.ready == 5 and not outcome.clean
    assert any("store: away" in str(cell) for cell in table(outcome).columns[2].cells)


def test_ports_that_cannot_be_had() -> None:
    assert len(set(free_targets(f"127.0.0.1:{free_port()}", 3))) == 3
    for listen in ("127.0.0.1:65535", "127.0.0.1", "127.0.0.1:99999"):
        with pytest.raises(SettingsError, match="expected host:port with 2 free ports"):
            free_targets(listen, 2)


def test_a_client_process_stays_light() -> None:
    """Its modules are few: fifty of them run beside the servers."""
    script = "import sys, miaosha.trials.rehearsal.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert not {"asyncio", "rich", "typer", "redis", "sqlalchemy"} & set(done.stdout.split())


async def test_a_deployment_that_is_there(run_dir: Path) -> None:
    settings = gateway_settings(RehearsalOptions(connections=1))
    listen = f"127.0.0.1:{free_port()}"
    async with private_gateways(run_dir, listen, 1, lambda _: None, settings) as there:
        options = RehearsalOptions(
            connections=60,
            hold_s=0.5,
            storm=20,
            url=f"http://{there.targets[0]}",
            sale_id=SALE_ID,
            secret_keys=there.settings.secret_keys,
        )
        outcome = await rehearse(options, lambda *_: None, lambda _: None)
    assert outcome.clean and outcome.ready == 60 and outcome.clients.attempts == 80
    assert outcome.broadcast is None and outcome.bytes_per_connection is None
