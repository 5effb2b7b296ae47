"""Three gateways behind the edge: every request of a session reaches the process that has it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.kit.running import Up, running
from tests.kit.waits import eventually
from tests.sockets.stock import browser

POLL = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("gateways"), settings={"gateways": "3"}) as platform:
        yield platform


def opened(up: Up) -> str:
    """The sid of a new session."""
    answer = up.get(POLL)
    assert answer.status == 200
    return str(msgspec.json.decode(answer.body[1:])["sid"])


def test_sessions_are_spread_and_each_is_found_again(up: Up) -> None:
    sids: list[str] = []

    def everywhere() -> bool:
        sids.append(opened(up))
        return {sid.partition("-")[0] for sid in sids} == {"0", "1", "2"}

    eventually(everywhere, what="a session in each process")
    for sid in sids:
        assert up.get(f"{POLL}&sid={sid}", "POST", b"40").body == b"ok"
    for sid in sids:
        assert up.get(f"{POLL}&sid={sid}").body.startswith(b"40{")


@pytest.mark.parametrize("sid", ["0-unknown", "1-unknown", "3-unknown", "99999-x", "x", "-1"])
def test_a_session_that_nobody_has(up: Up, sid: str) -> None:
    answer = up.get(f"{POLL}&sid={sid}")
    assert (answer.status, answer.json()) == (400, {"code": 1, "message": "Session ID unknown"})


@pytest.mark.parametrize(
    ("options", "carrier"),
    [({}, "websocket"), ({"transports": ["polling"]}, "polling")],
    ids=["defaults", "polling"],
)
async def test_the_stock_client(up: Up, options: dict[str, Any], carrier: str) -> None:
    async def talk() -> None:
        async with browser(f"http://127.0.0.1:{up.port}", **options) as client:
            assert await client.said("connect")
            while await client.transport() != carrier:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            for _ in range(3):
                answer = await client.ask("watch", {"sale_id": 1})
                assert answer == {"ok": False, "code": "not_found"}
            client.do("disconnect")
            assert await client.said("disconnect") == ["io client disconnect"]

    async with asyncio.timeout(60):
        await asyncio.gather(*(talk() for _ in range(4)))
