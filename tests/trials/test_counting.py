"""The rehearsal's own counting, held against servers that lie, drop and fall silent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from miaosha.trials.rehearsal import client_sockets as sockets_module
from miaosha.trials.rehearsal.client_protocol import ClientPlan
from miaosha.trials.rehearsal.client_sockets import ClientSockets
from miaosha.trials.rehearsal.connect_schedule import TRIES_MAX, ConnectSchedule
from tests.trials.faulty import Faulty, faulty, framed

DEADLINE_S = 30.0
SALE = b'42["sale",{"phase":"open"}]'


def plan(port: int, connections: int, **more: Any) -> ClientPlan:
    return ClientPlan(
        first=0,
        connections=connections,
        rate_per_s=0.0,
        targets=[f"127.0.0.1:{port}"],
        sources=["127.0.1.1", "127.0.1.2"],
        host="127.0.0.1",
        sale_id=7,
        **more,
    )


async def run(sockets: ClientSockets, until: Callable[[], object]) -> None:
    """Turn by turn, as a client process does, until something is so."""
    end = time.monotonic() + DEADLINE_S
    while not until():
        now = time.monotonic()
        assert now < end, msgspec.json.encode(sockets.said)
        sockets.turn(now)
        for fd, _ in sockets.epoll.poll(0):
            sockets.happened(fd, time.monotonic())
        await asyncio.sleep(0.001)


@asynccontextmanager
async def against(
    fault: str, connections: int, **more: Any
) -> AsyncIterator[tuple[Faulty, ClientSockets]]:
    async with faulty(fault) as server:
        sockets = ClientSockets(plan(server.port, connections, **more))
        try:
            yield server, sockets
        finally:
            sockets.close()
            sockets.epoll.close()


@pytest.mark.parametrize("fault", ["", "slow"])
async def test_everybody_comes(fault: str) -> None:
    async with against(fault, 40) as (server, sockets):
        await run(sockets, lambda: sockets.said.settled_at)
        said = sockets.said
        assert (said.ready, said.attempts, said.failed, said.lost) == (40, 40, {}, {})
        assert len(sockets.connects) == 40 and len(server.writers) == 40


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("mute", "no answer"),
        ("refuse", "http 503"),
        ("accept", "wrong Sec-WebSocket-Accept"),
        ("garbage", "garbage: frame header"),
        ("deny", "connect refused: unauthorized"),
        ("unwatch", "watch refused: not_found"),
    ],
)
async def test_who_does_not_get_in_is_counted_by_kind(fault: str, kind: str) -> None:
    async with against(fault, 5, handshake_s=0.2) as (_, sockets):
        await run(sockets, lambda: sum(sockets.said.failed.values()) >= 5)
        assert set(sockets.said.failed) == {kind}
        assert sockets.said.ready == 0 and not sockets.said.lost and not sockets.said.settled_at


async def test_nobody_listens() -> None:
    async with faulty() as server:
        port = server.port
    sockets = ClientSockets(plan(port, 3))
    await run(sockets, lambda: sum(sockets.said.failed.values()) >= 3)
    assert set(sockets.said.failed) == {"ECONNREFUSED"}
    sockets.epoll.close()


@pytest.mark.parametrize(
    ("fault", "kind"), [("drop", "closed without a word"), ("restart", "close 1012 restart")]
)
async def test_who_is_taken_away_is_lost_and_comes_back(fault: str, kind: str) -> None:
    async with against(fault, 5) as (server, sockets):
        await run(sockets, lambda: len(server.writers) > 5)
        assert set(sockets.said.lost) == {kind}
        assert sockets.said.lost[kind] >= 5 and not sockets.said.failed


async def test_a_server_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_module, "SILENCE_S", 0.1)
    async with against("", 5) as (_, sockets):
        await run(sockets, lambda: sum(sockets.said.lost.values()) >= 5)
        assert set(sockets.said.lost) == {"no ping"}


async def test_a_client_that_did_not_look_calls_nobody_silent() -> None:
    async with against("", 2) as (server, sockets):
        await run(sockets, lambda: sockets.said.settled_at)
        server.writers[0].write(framed(b"2"))
        await server.writers[0].drain()
        sockets.turn(time.monotonic() + 60.0)  # it was not scheduled for a minute
        assert sockets.said.pings == 1 and sockets.said.lost == {"no ping": 1}
        assert sockets.said.silence_s >= 59.0, "but the wait is told"


async def test_pings_are_answered() -> None:
    async with against("", 4) as (server, sockets):
        await run(sockets, lambda: sockets.said.settled_at)
        for writer in server.writers:
            writer.write(framed(b"2"))
        server.writers[0].write(framed(b"2") + framed(b"hello", 9))
        await run(sockets, lambda: server.pongs >= 4)
        assert sockets.said.pings >= 5


async def test_a_broadcast_that_misses_some_and_tells_others_twice() -> None:
    async with against("", 20) as (server, sockets):
        await run(sockets, lambda: sockets.said.settled_at)
        sockets.arm('"phase":"open"')
        began = time.monotonic()
        for writer in server.writers[3:]:
            writer.write(framed(SALE))
        for writer in server.writers[:3]:
            writer.write(framed(SALE.replace(b"open", b"closed")))
        for writer in server.writers[5:7]:
            writer.write(framed(SALE))
        await run(sockets, lambda: sockets.said.events == 22)
        assert (sockets.said.reached, sockets.said.again) == (17, 2)
        assert len(sockets.arrived) == 17 and min(sockets.arrived) >= began
        sockets.arm("closed")
        assert sockets.said.reached == 0 and not sockets.arrived


async def test_a_result_says_how_long_it_took() -> None:
    async with against("", 1) as (server, sockets):
        await run(sockets, lambda: sockets.said.settled_at)
        sent_us = int((time.monotonic() - 2.0) * 1e6)
        event = b'42["result",{"sale_id":7,"request_id":"sent-%d.0","state":"sold_out"}]' % sent_us
        server.writers[0].write(framed(event))
        await run(sockets, lambda: sockets.said.results)
        assert 2.0 <= sockets.latencies[0] < 2.0 + DEADLINE_S


async def test_a_storm_brings_everybody_back() -> None:
    async with against("", 20) as (server, sockets):
        await run(sockets, lambda: sockets.said.settled_at)
        sockets.storm(12)
        assert sockets.said.ready == 8
        await run(sockets, lambda: sockets.said.settled_at)
        assert sockets.said.ready == 20 and len(server.writers) == 32
        assert not sockets.said.lost and not sockets.said.failed


def test_turns_are_paced_and_failures_end() -> None:
    turns = ConnectSchedule(100, 10.0, "seed")
    began = time.monotonic()
    assert turns.take(64, began) == []
    assert turns.take(64, began + 1.05) in (list(range(10)), list(range(11)))
    turns.unpaced()
    assert len(turns.take(200, began)) >= 89
    assert not turns.waiting
    assert [turns.failed(7, 0.0) for _ in range(TRIES_MAX)] == [True] * (TRIES_MAX - 1) + [False]
    turns.at_once(3)
    assert turns.take(1, began) == [3]
