"""How long the supervisor waits for a part to end: never less than the part gives itself."""

import asyncio
import signal
import subprocess
import sys

import msgspec
import pytest

from miaosha.api import uvicorn_server as api
from miaosha.publisher import publisher
from miaosha.settings import Settings
from miaosha.sockets import listening as gateway
from miaosha.supervisor import up
from miaosha.supervisor.process_plan import stop_within_s
from miaosha.supervisor.rolling import FINISH_WITHIN_S
from miaosha.workers import consumer
from tests.kit.running import environ

SETTINGS = Settings()
OWN = {
    "publisher": publisher.LINGER_S + publisher.DRAIN_S + publisher.FLUSH_S,
    "consumer": consumer.DRAIN_S,
    "api": api.LINGER_S + api.DRAIN_S,
    "gateway": SETTINGS.drain_ms / 1000 + gateway.LAST_WORDS_S,
}
SPARE_S = 2.0  # to start and end around its drain


@pytest.mark.parametrize("role", OWN)
def test_a_role_may_finish_what_came_in(role: str) -> None:
    assert stop_within_s(role, SETTINGS) >= OWN[role] + SPARE_S
    assert OWN[role] + SPARE_S <= FINISH_WITHIN_S


ROLE = """
from miaosha.serving.process import run
async def serve(process, settings):
    print("serves", flush=True)
    await process.stop.wait()
run("consumer", serve, [])
"""


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM])
def test_a_role_ignores_what_was_ignored_when_it_started(ignored: int) -> None:
    heeded = {signal.SIGINT, signal.SIGTERM} - {ignored}
    role = subprocess.Popen(
        [sys.executable, "-c", ROLE],
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(ignored, signal.SIG_IGN),
    )
    with role:
        assert role.stdout is not None and role.stdout.readline() == b"serves\n"
        role.send_signal(ignored)
        with pytest.raises(subprocess.TimeoutExpired):
            role.wait(0.3)
        role.send_signal(heeded.pop())
        assert role.wait(20) == 0


async def test_only_a_later_signal_is_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, heard, killed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    before = {sig: signal.getsignal(sig) for sig in up.STOP_SIGNALS}
    try:
        up._heed_a_second(killed.set)
        signal.raise_signal(signal.SIGTERM)
        loop.call_later(0.05, heard.set)
        await heard.wait()
        assert not killed.is_set()
        monkeypatch.setattr(up, "SAME_SIGNAL_S", 0.0)
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            await killed.wait()
    finally:
        for sig, handler in before.items():
            loop.remove_signal_handler(sig)
            signal.signal(sig, handler)


def test_gateways_with_a_million_sockets_may_say_goodbye_to_all() -> None:
    """Measured: 53 of them, on two cores, were at it for more than ten seconds."""
    many = msgspec.structs.replace(SETTINGS, sockets_max=1_000_000)
    assert stop_within_s("gateway", many) >= 50
    assert stop_within_s("gateway", SETTINGS) <= 10
