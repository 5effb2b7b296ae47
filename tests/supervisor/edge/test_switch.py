"""The edge's switch: which sales are over, how the directory follows the board, what nginx says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from miaosha.domain.errors import DependencyDown
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.store import SaleBoard
from miaosha.publisher.responses import PROBLEMS
from miaosha.settings import Settings
from miaosha.supervisor.edge.switch import MARGIN_MS, OVER_MAX, EdgeSwitch, over
from tests.kit.boards import board_of
from tests.kit.clocks import HandClock
from tests.kit.running import free_port
from tests.kit.waits import until
from tests.publisher.world import NOW_MS, sale
from tests.supervisor.edge.test_edge import PURCHASES, Edge, started

WITHIN_S = 20.0


@pytest.mark.parametrize(
    ("changes", "closed"),
    [
        ({}, False),
        ({"opens_at_ms": NOW_MS + 1, "closes_at_ms": NOW_MS + 2}, False),
        ({"closes_at_ms": NOW_MS}, False),
        ({"closes_at_ms": NOW_MS - MARGIN_MS + 1}, False),
        ({"closes_at_ms": NOW_MS - MARGIN_MS}, True),
        ({"closes_at_ms": NOW_MS - MARGIN_MS, "phase": Phase.PAUSED}, False),
        ({"closes_at_ms": NOW_MS - MARGIN_MS, "phase": Phase.DRAFT}, False),
        ({"closes_at_ms": NOW_MS - MARGIN_MS, "frozen": "audit"}, False),
        ({"closes_at_ms": NOW_MS - MARGIN_MS, "phase": Phase.SETTLED}, True),
        ({"closes_at_ms": NOW_MS + 1, "phase": Phase.SETTLED}, False),
    ],
    ids=str,
)
def test_only_what_is_over_for_everybody_is_over(changes: dict[str, Any], closed: bool) -> None:
    assert over({7: sale(**changes)}, NOW_MS) == ({7} if closed else set())


def test_the_latest_thousand_are_enough() -> None:
    closed = {
        id_: sale(id_, closes_at_ms=NOW_MS - MARGIN_MS - 10_000 + id_)
        for id_ in range(1, OVER_MAX + 11)
    }
    assert over(closed, NOW_MS) == set(range(11, OVER_MAX + 11))


class Shelf:
    """A board that a test writes."""

    def __init__(self) -> None:
        self.sales: dict[int, Sale] | None = {}
        self.away = False
        self.fault: Exception | None = None

    async def read_sales(self, seen: SaleBoard | None) -> SaleBoard | None:
        if self.away:
            raise DependencyDown("store")
        if self.fault:
            raise self.fault
        return board_of(self.sales, seen)


CLOSED = sale(7, closes_at_ms=NOW_MS - MARGIN_MS)


async def test_the_directory_follows_the_board(tmp_path: Path) -> None:
    shelf, directory = Shelf(), tmp_path / "over"
    directory.mkdir()
    (directory / "8").touch()
    (directory / "note").touch()

    def there() -> set[str]:
        return {path.name for path in directory.iterdir()}

    switch = EdgeSwitch(directory, shelf, HandClock())
    switch.clear()
    assert there() == {"note"}, "what was over in another life is over no more"
    shelf.sales = {7: CLOSED, 9: sale(9)}
    await switch.turn()
    assert there() == {"7", "note"}
    shelf.away = True
    with pytest.raises(DependencyDown):
        await switch.turn()
    assert there() == {"7", "note"}
    shelf.away, shelf.sales = False, None
    await switch.turn()
    assert there() == {"note"}, "with no board nobody knows"


@pytest.mark.parametrize("fault", [DependencyDown("store"), OSError("full"), RuntimeError("odd")])
async def test_it_goes_on_whatever_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr("miaosha.supervisor.edge.switch.LOOK_S", 0.01)
    shelf, directory = Shelf(), tmp_path / "over"
    shelf.sales, shelf.fault = {7: CLOSED}, fault
    switch = EdgeSwitch(directory, shelf, HandClock())
    switch.clear()
    following = asyncio.create_task(switch.run())
    await asyncio.sleep(0)
    assert list(directory.iterdir()) == []
    shelf.fault = None
    await until((directory / "7").exists)
    following.cancel()
    await asyncio.wait({following})


@pytest.fixture
async def at_edge(run_dir: Path) -> AsyncIterator[Edge]:
    async with started(run_dir, Settings(port=free_port())) as running:
        yield running


async def test_nginx_says_what_a_publisher_would(at_edge: Edge, run_dir: Path) -> None:
    shelf = Shelf()
    switch = EdgeSwitch(run_dir / "over", shelf, HandClock())
    assert await at_edge.by(PURCHASES, "POST") == "publisher"
    shelf.sales = {7: CLOSED}
    await switch.turn()
    await _until(at_edge, "409")
    answer = await at_edge.ask(PURCHASES, "POST", body=b'{"answer":"A"}')
    head, _, body = PROBLEMS["closed"].partition(b"\r\n\r\n")
    assert (answer.body, b"409" in head) == (body, True)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    asked = len(at_edge.roles["publisher"].asked)
    for _ in range(5):
        assert await at_edge.by(PURCHASES, "POST") == "409"
    assert len(at_edge.roles["publisher"].asked) == asked, "no role heard of it"
    for other, method, role in (
        ("/api/v1/sales/8/purchases", "POST", "publisher"),
        ("/api/v1/sales/77/purchases", "POST", "publisher"),
        ("/api/v1/sales/07/purchases", "POST", "publisher"),
        ("/api/v1/sales/7x/purchases", "POST", "publisher"),
        (PURCHASES, "GET", "publisher"),
        (PURCHASES, "OPTIONS", "api"),
        (f"{PURCHASES}/mine", "DELETE", "api"),
    ):
        assert await at_edge.by(other, method) == role, other
    shelf.sales = {}
    await switch.turn()
    await _until(at_edge, "publisher")


async def test_who_presses_too_often_is_told_so_also_when_it_is_over(run_dir: Path) -> None:
    settings = Settings(port=free_port(), edge_rate_per_s=1, edge_burst=5)
    (run_dir / "over").mkdir()
    (run_dir / "over" / "7").touch()
    async with started(run_dir, settings) as tight:
        answers = [await tight.ask(PURCHASES, "POST", body=b"{}") for _ in range(12)]
        assert {answer.json()["code"] for answer in answers} == {"closed", "rate_limited"}
        too_large = await tight.ask(PURCHASES, "POST", body=b"x" * 9_000)
        assert too_large.json()["code"] in ("too_large", "rate_limited")


async def _until(edge: Edge, wanted: str) -> None:
    """nginx looks at a file once a second."""
    async with asyncio.timeout(WITHIN_S):
        while await edge.by(PURCHASES, "POST") != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
