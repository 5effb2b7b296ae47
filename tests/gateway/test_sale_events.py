"""What a buyer and a visitor hear and may ask, over a real socket."""

import asyncio
from typing import Any

import msgspec
import pytest

from miaosha.domain.messages import Positions, Result, Results, SaleChanged, Standby, Watched
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase, Sale, SaleView, view
from miaosha.ports.heartbeats import Heartbeat
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session, Stage
from tests.gateway.conftest import World
from tests.gateway.fakes import make_place, make_reading, make_sale
from tests.kit.waits import until
from tests.sockets.wire import Wire


def view_of(world: World, sale: Sale) -> SaleView:
    return view(sale, world.clock.now_ms(), sold_out=False, watching=99)


async def watch(wire: Wire) -> dict[str, Any]:
    """Watch sale 7; the `sale` event that follows the acknowledgement."""
    answer = await wire.ask("watch", {"sale_id": 7})
    assert answer["ok"] is True
    assert msgspec.to_builtins(msgspec.convert(answer, Watched)) == answer
    name, sale = await wire.event()
    assert name == "sale" and sale == answer["sale"]
    return dict(answer)


async def test_a_buyer_watches(world: World) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        answer = await watch(wire)
        assert answer["sale"]["phase"] == "open"
        assert answer["sale"]["watching"] == 1
        assert answer["sale"]["available"] is True
        assert abs(answer["sale"]["server_time_ms"] - world.clock.now_ms()) < 1000
        assert set(answer["question"]) == {"id", "text", "choices"}
        assert world.process.watching == {7: 1}
    await until(lambda: not world.process.watching)


async def test_a_buyer_keeps_the_same_question(world: World) -> None:
    seen = []
    for user_id in (5, 5, *range(6, 30)):
        async with await Wire.connect(world, world.token(user_id)) as wire:
            seen.append((await watch(wire))["question"]["id"])
    assert seen[0] == seen[1]
    assert set(seen) == {1, 2}


async def test_a_visitor_watches_without_a_question(world: World) -> None:
    async with await Wire.connect(world) as wire:
        answer = await watch(wire)
        assert "question" not in answer
        assert await wire.ask("lookup", {"sale_id": 7}) == {"ok": False, "code": "unauthorized"}


async def test_watch_without_an_acknowledgement(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.text('42["watch",{"sale_id":7}]')
        assert (await wire.event())[0] == "sale"


class Carrier(Session):
    """Keeps what is written instead of sending it."""

    def __init__(self, server: SocketServer) -> None:
        super().__init__(server)
        self.stage = Stage.OPEN
        self.writes: list[tuple[Outbound, ...]] = []

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        self.writes.append(parts)


async def test_who_names_a_sale_in_the_connect_watches_it(world: World) -> None:
    async with await Wire.open(world) as wire:
        wire.text(f'40{{"token":"{world.token(5)}","watch":7}}')
        assert (await wire.packet()).startswith("40{")
        name, told = await wire.event()
        assert name == "watched" and msgspec.to_builtins(msgspec.convert(told, Watched)) == told
        assert world.process.watching == {7: 1} and told["sale"]["watching"] == 1
        asked = await watch(wire)  # once more changes nothing
        assert told["question"] == asked["question"]
        assert world.process.watching == {7: 1} and asked["sale"]["watching"] == 1
        await world.publish(Results([RESULT]))
        assert (await wire.event())[0] == "result"
        world.store.board = {7: make_sale(phase=Phase.PAUSED)}
        assert (await wire.event())[1]["phase"] == "paused"


async def test_the_answer_to_a_connect_and_to_its_watch_are_one_write(world: World) -> None:
    session = Carrier(world.gateway.server)
    session.receive_text('40{"watch":7}')
    ((first, second),) = session.writes
    assert first.packet.startswith(b"40{")
    assert second.packet.startswith(b'42["watched",{"ok":true,"sale"')
    session.ended()


async def test_a_visitor_who_names_a_sale_has_no_question(world: World) -> None:
    async with await Wire.open(world) as wire:
        wire.text('40{"watch":7}')
        await wire.packet()
        assert set((await wire.event())[1]) == {"ok", "sale"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("8", "not_found"),
        ('"7"', "bad_request"),
        ("7.0", "bad_request"),
        ("true", "bad_request"),
        ('{"sale_id":7}', "bad_request"),
        ("[7]", "bad_request"),
    ],
)
async def test_a_sale_that_cannot_be_watched_refuses_nobody(
    world: World, asked: str, code: str
) -> None:
    async with await Wire.open(world) as wire:
        wire.text(f'40{{"token":"{world.token(5)}","watch":{asked}}}')
        assert (await wire.packet()).startswith("40{")
        assert await wire.event() == ["watched", {"ok": False, "code": code}]
        assert not world.process.watching
        await world.publish(Results([RESULT]))
        assert (await wire.event())[0] == "result"


async def test_a_wrong_token_watches_nothing(world: World) -> None:
    async with await Wire.open(world) as wire:
        wire.text('40{"token":"wrong","watch":7}')
        assert '"unauthorized"' in await wire.packet()
        assert not world.process.watching
        wire.text('40{"watch":null}')
        assert (await wire.packet()).startswith("40{")
        assert (await watch(wire))["ok"], "its next packet is of its own asking"


@pytest.mark.parametrize(
    ("name", "args", "code"),
    [
        ("watch", [{"sale_id": 8}], "not_found"),
        ("lookup", [{"sale_id": 8}], "not_found"),
        ("watch", [], "bad_request"),
        ("watch", [{}], "bad_request"),
        ("watch", [{"sale_id": "7"}], "bad_request"),
        ("watch", [{"sale_id": 7.5}], "bad_request"),
        ("watch", [{"sale_id": True}], "bad_request"),
        ("watch", [{"sale_id": 7, "more": 1}], "bad_request"),
        ("watch", [{"sale_id": 7}, 1], "bad_request"),
        ("lookup", [None], "bad_request"),
        ("unknown", [{"sale_id": 7}], "bad_request"),
    ],
)
async def test_what_cannot_be_asked(world: World, name: str, args: list[Any], code: str) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        assert await wire.ask(name, *args) == {"ok": False, "code": code}


async def test_a_draft_is_not_there(world: World) -> None:
    world.store.board = {7: make_sale(), 8: make_sale(8, phase=Phase.DRAFT), 9: make_sale(9)}
    async with await Wire.connect(world) as wire:
        answer: dict[str, Any] = {}
        for ack_id in range(100):  # until the board is read again
            answer = await wire.ask("watch", {"sale_id": 9}, ack_id=ack_id)
            if answer["ok"]:
                break
            await asyncio.sleep(0.3)
        assert answer["ok"] and (await wire.event())[0] == "sale"
        assert (await wire.ask("watch", {"sale_id": 8}))["code"] == "not_found"


RESULT = Result(7, 5, "b.1", State.HELD, 2, pay_by_ms=1234, checkout_token="secret")


async def test_results_reach_all_sockets_of_their_user_only(world: World) -> None:
    token = world.token(5)
    async with (
        await Wire.connect(world, token) as one,
        await Wire.connect(world, token) as two,
        await Wire.connect(world, world.token(6)) as other,
        await Wire.connect(world) as visitor,
    ):
        sold_out = Result(7, 6, "b.2", State.SOLD_OUT, 0)
        await world.publish(Results([RESULT, sold_out]))
        expected = {
            "sale_id": 7,
            "request_id": "b.1",
            "state": "held",
            "version": 2,
            "pay_by_ms": 1234,
            "checkout_token": "secret",
        }
        assert await one.event() == ["result", expected]
        assert await two.event() == ["result", expected]
        plain = {"sale_id": 7, "request_id": "b.2", "state": "sold_out", "version": 0}
        assert await other.event() == ["result", plain]
        await world.publish(Positions([Standby(7, 6, 3, 4)]))
        position = {"sale_id": 7, "position": 3, "version": 4}
        assert await other.event() == ["standby", position]
        assert (await watch(visitor))["ok"], "the visitor's next packet is its own"


async def test_a_user_who_left_hears_nothing(world: World) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        wire.text("41")
        wire.text("40")
        assert (await wire.packet()).startswith("40{")
        await world.publish(Results([RESULT]))
        await watch(wire)


async def test_a_changed_sale_is_told(world: World) -> None:
    async with await Wire.connect(world) as wire:
        await watch(wire)
        sale = make_sale(phase=Phase.PAUSED, title="Another title")
        world.store.board = {7: sale}
        await world.publish(SaleChanged(view_of(world, sale)))
        name, told = await wire.event()
        assert name == "sale"
        assert (told["phase"], told["title"]) == ("paused", "Another title")
        assert told["watching"] == 1, "counted here, not taken from the message"


async def test_a_change_is_seen_without_the_bus(world: World) -> None:
    async with await Wire.connect(world) as wire:
        await watch(wire)
        world.store.board = {7: make_sale(frozen="drill")}
        assert (await wire.event())[1]["phase"] == "frozen"


async def test_sold_out_and_back(world: World) -> None:
    async with await Wire.connect(world) as wire:
        await watch(wire)
        world.store.counts = {7: make_reading(free=0, standby=1000)}
        assert (await wire.event())[1]["available"] is False
        world.store.counts = {7: make_reading(free=1, standby=1000)}
        assert (await wire.event())[1]["available"] is True


async def test_opening_and_closing_by_the_clock(world: World) -> None:
    now_ms = world.clock.now_ms()
    opens, closes = now_ms + 60_000, now_ms + 120_000
    world.store.board = {7: make_sale(opens_at_ms=opens, closes_at_ms=closes)}
    async with await Wire.connect(world) as wire:
        await watch(wire)
        assert (await wire.event())[1]["phase"] == "scheduled"
        world.clock.set_on(opens - world.clock.now_ms() - 1500)
        name, sale = await wire.event()
        assert (name, sale["phase"]) == ("sale", "open")
        assert 0 <= sale["server_time_ms"] - opens < 500
        world.clock.set_on(60_000)
        assert (await wire.event())[1]["phase"] == "closed"


async def test_a_missing_board_reads_frozen(world: World) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        await watch(wire)
        world.store.board = None
        assert (await wire.event())[1]["phase"] == "frozen"
        answer = await wire.ask("lookup", {"sale_id": 7})
        assert answer == {"ok": False, "code": "frozen", "retry_after_s": 2}


async def test_watchers_elsewhere_are_counted(world: World) -> None:
    world.heartbeats.beats["gateway", "4"] = Heartbeat("gateway", "4", 1, 0, {}, {7: 40})
    world.heartbeats.beats["gateway", "5"] = Heartbeat("gateway", "5", 1, 0, {}, {7: 2, 8: 1})
    async with await Wire.connect(world) as wire:
        await until(lambda: 7 in world.gateway._sales._elsewhere)
        assert (await watch(wire))["sale"]["watching"] == 43


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, {"state": "none", "version": 0}),
        (
            make_place(State.HELD, ungranted=True),
            {"state": "queued", "version": 0, "request_id": "b.1"},
        ),
        (
            make_place(State.HELD, pay_by_ms=99),
            {"state": "held", "version": 3, "request_id": "b.1", "pay_by_ms": 99},
        ),
        (
            make_place(State.STANDBY, position=4),
            {"state": "standby", "version": 3, "request_id": "b.1", "position": 4},
        ),
        (make_place(State.PAID), {"state": "paid", "version": 3, "request_id": "b.1"}),
        (make_place(State.EXPIRED), {"state": "expired", "version": 3, "request_id": "b.1"}),
    ],
)
async def test_lookup(world: World, place: Any, expected: dict[str, Any]) -> None:
    if place is not None:
        world.store.places[7, 5] = place
    async with await Wire.connect(world, world.token(5)) as wire:
        answer = await wire.ask("lookup", {"sale_id": 7})
        assert answer == {"ok": True, "sale_id": 7, **expected}


async def test_standby_of_a_drained_sale_is_closed(world: World) -> None:
    world.store.places[7, 5] = make_place(State.STANDBY, position=1)
    world.store.counts = {7: make_reading(free=0, held=1)}
    world.clock.set_on(4_000_000)
    async with await Wire.connect(world, world.token(5)) as wire:
        assert (await wire.ask("lookup", {"sale_id": 7}))["state"] == "standby"
        world.store.counts = {7: make_reading(free=0, held=0)}
        answer = await wire.ask("lookup", {"sale_id": 7})
        assert answer["state"] == "closed" and "position" not in answer


async def test_a_store_that_is_away(world: World) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        world.store.down = True
        answer = await wire.ask("lookup", {"sale_id": 7})
        assert answer == {"ok": False, "code": "unavailable", "retry_after_s": 1}
        await world.count("refresh_failures")
        assert (await watch(wire))["sale"]["phase"] == "open", "the last copy stands"
