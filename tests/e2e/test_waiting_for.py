"""A wrong address, or a server that comes later: whoever needs it says so, in one line, and goes on
when it has come. Every role, `up` and the commands.
"""

import asyncio
import collections
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from miaosha.adapters.keyring import generate
from miaosha.supervisor.servers.valkey import start_valkey
from tests.kit.running import MIAOSHA, STOP_S, environ, free_port, miaosha, starting
from tests.kit.waits import eventually

SECRET = "hush5"
OBSERVED_S = 8.0  # some fifty tries of the busiest loops


def nowhere() -> dict[str, str]:
    """Settings whose every server is away."""
    port = free_port()
    return {
        "redis_url": f"redis://:{SECRET}@127.0.0.1:{port}",
        "broker_url": f"amqp://shop:{SECRET}@127.0.0.1:{port}/",
        "database_url": f"mariadb://shop:{SECRET}@127.0.0.1:{port}/shop",
        "secret_keys": generate(),
    }


@contextmanager
def role(name: str, out: Path, settings: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    listens = ["--listen", f"unix:{out}.sock"] if name in ("publisher", "gateway", "api") else []
    with out.open("wb") as file:
        process = subprocess.Popen(
            [MIAOSHA, "run", name, *listens], env=environ(**settings), stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def lines(out: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]


def waited_for(out: Path) -> dict[str, int]:
    return collections.Counter(
        line["setting"] for line in lines(out) if line["event"] == "waiting_for"
    )


NEEDS = {"MIAOSHA_REDIS_URL", "MIAOSHA_BROKER_URL", "MIAOSHA_DATABASE_URL"}
NEEDED = {
    "publisher": NEEDS - {"MIAOSHA_DATABASE_URL"},
    "gateway": {"MIAOSHA_REDIS_URL"},
    **dict.fromkeys(("api", "consumer", "scheduler", "mailer"), NEEDS),
}


def passes(seconds: float) -> None:
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, what="observed")


@pytest.mark.timeout(300)
def test_every_role_says_once_which_server_it_waits_for(run_dir: Path) -> None:
    settings = nowhere()
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(role(name, run_dir / name, settings)) for name in NEEDED
        }
        for name, wanted in NEEDED.items():
            out = run_dir / name
            eventually(lambda o=out, w=wanted: set(waited_for(o)) == w, what=f"{name} waits")  # type: ignore[misc]
        passes(OBSERVED_S)
        for process in running.values():
            process.terminate()
        assert {name: process.wait(STOP_S) for name, process in running.items()} == dict.fromkeys(
            NEEDED, 0
        )
    for name in NEEDED:
        assert set(waited_for(run_dir / name).values()) == {1}, lines(run_dir / name)
        for line in lines(run_dir / name):
            assert line["level"] == "info" or line["event"] == "waiting_for", line
            assert line["event"] != "waiting_for" or "127.0.0.1" in line["where"], line
        assert SECRET not in (run_dir / name).read_text()


@pytest.mark.parametrize("strict", ["0", "1"])
async def test_a_role_says_that_the_server_came(run_dir: Path, strict: str) -> None:
    """A strict one examines it then."""
    url, out = f"unix://{run_dir}/store.sock", run_dir / "gateway"
    settings = {"redis_url": url, "broker_url": url, "secret_keys": generate(), "strict": strict}

    def came() -> list[dict[str, Any]]:
        return [line for line in lines(out) if line["event"] == "came"]

    with role("gateway", out, settings) as process:
        await asyncio.to_thread(eventually, lambda: waited_for(out), what="waits")
        server = await start_valkey(run_dir, "store")
        await asyncio.to_thread(eventually, Path(f"{out}.sock").exists, what="listens")
        await asyncio.to_thread(eventually, came, what="came")
        assert came()[0]["setting"] in ("MIAOSHA_REDIS_URL", "MIAOSHA_BROKER_URL")
        process.terminate()
        assert await asyncio.to_thread(process.wait, STOP_S) == 0
        await server.stop()


def test_a_strict_role_that_waits_can_be_ended(run_dir: Path) -> None:
    out = run_dir / "consumer"
    with role("consumer", out, {**nowhere(), "strict": "1"}) as process:
        eventually(lambda: waited_for(out), what="waits")
        process.terminate()
        assert process.wait(STOP_S) == 0
    assert set(waited_for(out).values()) == {1} and SECRET not in out.read_text()


def said(home: Path) -> list[str]:
    return (home / "out").read_text().splitlines()


def test_up_waits_for_a_database_and_can_be_stopped(tmp_path: Path) -> None:
    url = f"mariadb://shop:{SECRET}@127.0.0.1:{free_port()}/shop"
    with starting(tmp_path, settings={"database_url": url}) as up:
        eventually(lambda: any("waiting for" in line for line in said(tmp_path)), what="waits")
        passes(3)
        [line] = [line for line in said(tmp_path) if "waiting for" in line]
        assert line.startswith("waiting for MIAOSHA_DATABASE_URL (mariadb://127.0.0.1:")
        assert "Can't connect" in line and SECRET not in (tmp_path / "out").read_text()
        assert up.stop() == 0


async def test_up_starts_when_its_store_has_come(run_dir: Path) -> None:
    url = f"unix://{run_dir}/mine.sock"
    with starting(run_dir, settings={"redis_url": url}) as up:
        waits = "waiting for MIAOSHA_REDIS_URL"
        await asyncio.to_thread(eventually, lambda: waits in "".join(said(run_dir)), what=waits)
        server = await start_valkey(run_dir, "mine")
        await asyncio.to_thread(eventually, up.ready, what="ready")
        assert any(line.startswith(f"MIAOSHA_REDIS_URL ({url}) came") for line in said(run_dir))
        assert await asyncio.to_thread(up.stop) == 0
        await server.stop()


def test_a_command_names_the_setting_and_the_place(run_dir: Path) -> None:
    done = miaosha("sale", "list", settings=nowhere())
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "MIAOSHA_DATABASE_URL (mariadb://127.0.0.1:" in line and SECRET not in line


def test_an_edge_says_that_its_store_is_away(run_dir: Path) -> None:
    """Nobody else there would."""
    process = subprocess.Popen(
        [MIAOSHA, "edge", "switch", "--directory", str(run_dir / "over")],
        env=environ(redis_url=f"redis://:{SECRET}@127.0.0.1:{free_port()}"),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("waiting for MIAOSHA_REDIS_URL (redis://127.0.0.1:"), line
        assert SECRET not in line
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
