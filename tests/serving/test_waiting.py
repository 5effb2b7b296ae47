"""What a log says of a server that is away, and of whatever else repeats: at once, then seldom."""

import asyncio
import logging

import pytest
from structlog import DropEvent

from miaosha.domain.errors import DependencyDown
from miaosha.serving.seldom import EVERY_S, KEPT_MAX, Seldom, SeldomRecords
from miaosha.serving.waiting import AGAIN_S, CALM_S, AwaitedServers, shown
from tests.kit.clocks import HandClock

SECRET = "hush"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def never() -> None:
    raise DependencyDown("store: ConnectionError: refused")


def log(seldom: Seldom, event: str, method: str = "warning", **fields: object) -> dict[str, object]:
    """What is printed; nothing: {}."""
    try:
        return dict(seldom(None, method, {"event": event, **fields}))
    except DropEvent:
        return {}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        (f"redis://:{SECRET}@cache:6379", "redis://cache:6379"),
        (f"rediss+cluster://u:{SECRET}@a:1,b:2", "rediss+cluster://a:1,b:2"),
        (f"amqps://u:{SECRET}@mq/v?keyfile={SECRET}", "amqps://mq/v"),
        (f"mariadb://u:p@ss/{SECRET}@db/x", "mariadb://db/x"),
        (f"redis://cache/0?password={SECRET}", "redis://cache/0"),
        ("unix:///run/store.sock", "unix:///run/store.sock"),
        ("sqlite:///shop.sqlite", "sqlite:///shop.sqlite"),
        (f"console:?{SECRET}", "console:"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert shown(url) == expected and SECRET not in shown(url)


def test_a_line_that_repeats_passes_once_a_minute_and_counts(clock: HandClock) -> None:
    seldom = Seldom(AwaitedServers(clock.monotonic), clock.monotonic)
    assert log(seldom, "duty_later", duty="sweep", error="no 1", took=3)
    for number in range(500):
        clock.advance(100)
        assert not log(seldom, "duty_later", duty="sweep", error=f"no {number}", took=number)
    clock.advance(EVERY_S * 1_000)
    assert log(seldom, "duty_later", duty="sweep", error="no 7")["repeated"] == 500
    assert not log(seldom, "duty_later", duty="sweep", error="no 8")


def test_what_differs_is_another_line(clock: HandClock) -> None:
    seldom = Seldom(AwaitedServers(clock.monotonic), clock.monotonic)
    said = [
        {"event": "duty_later", "duty": "sweep", "error": "no"},
        {"event": "duty_later", "duty": "audit", "error": "no"},
        {"event": "duty_later", "duty": "sweep", "error": "another reason"},
        {"event": "sale_later", "sale_id": 1, "error": "no"},
        {"event": "sale_later", "sale_id": 2, "error": "no"},
        {"event": "audit_broken", "sale_id": 1, "findings": ["a"]},
        {"event": "audit_broken", "sale_id": 1, "findings": ["b"]},
        {"event": "late_money_returned", "rid": "x.1"},
        {"event": "late_money_returned", "rid": "x.2"},
    ]
    for line in said:
        assert log(seldom, **line)  # type: ignore[arg-type]
        assert not log(seldom, **line)  # type: ignore[arg-type]


def test_what_is_no_warning_passes_always(clock: HandClock) -> None:
    seldom = Seldom(AwaitedServers(clock.monotonic), clock.monotonic)
    assert all(log(seldom, "hold", method) for method in ("debug", "info") for _ in range(9))


def test_errors_of_different_kinds_are_different_lines(clock: HandClock) -> None:
    seldom = Seldom(AwaitedServers(clock.monotonic), clock.monotonic)
    passed = 0
    for kind in (ValueError, KeyError, ValueError):
        try:
            raise kind("with numbers 1, 2, 3")
        except Exception:
            passed += bool(log(seldom, "duty_failed", "error", duty="x", exc_info=True))
    assert passed == 2


def test_the_lines_of_libraries_repeat_seldom_too(clock: HandClock) -> None:
    records = SeldomRecords(Seldom(AwaitedServers(clock.monotonic), clock.monotonic))

    def record(level: int, text: str) -> logging.LogRecord:
        return logging.LogRecord("aiormq", level, "", 0, text, (), None)

    assert records.filter(record(logging.ERROR, "lost connection 17"))
    assert not records.filter(record(logging.ERROR, "lost connection 18"))
    assert records.filter(record(logging.WARNING, "lost connection 18"))
    assert all(records.filter(record(logging.INFO, "up")) for _ in range(3))


def test_it_remembers_a_limited_number_of_lines(clock: HandClock) -> None:
    seldom = Seldom(AwaitedServers(clock.monotonic), clock.monotonic)
    for number in range(3 * KEPT_MAX):
        assert log(seldom, "sale_later", sale_id=number)
    assert len(seldom._said) == KEPT_MAX


def test_whatever_waits_for_a_server_it_is_one_line(clock: HandClock) -> None:
    waiting = AwaitedServers(clock.monotonic)
    waiting.know("MIAOSHA_REDIS_URL", f"redis://:{SECRET}@cache:1", ("store", "bus"), never)
    seldom = Seldom(waiting, clock.monotonic)
    first = log(seldom, "board_unreadable", error="store: ConnectionError: refused", role="api")
    assert first == {
        "role": "api",
        "event": "waiting_for",
        "setting": "MIAOSHA_REDIS_URL",
        "where": "redis://cache:1",
        "error": "ConnectionError: refused",
    }
    for number in range(100):
        assert not log(seldom, "bus_away", error=f"bus: TimeoutError: {number}")
        assert not log(seldom, "clock_alone", error="DependencyDown: store: refused")
        assert not log(seldom, "push_lost", kind=f"Result{number}", error="bus: refused")
    clock.advance(AGAIN_S * 1_000)
    assert log(seldom, "bus_away", error="bus: refused")["event"] == "waiting_for"
    assert log(seldom, "mail_failed", error="mail server: not now")["event"] == "mail_failed"


async def test_a_server_that_came_is_told_once(clock: HandClock) -> None:
    said: list[tuple[str, dict[str, object]]] = []
    waiting, away = AwaitedServers(clock.monotonic), True

    async def check() -> None:
        if away:
            raise DependencyDown("broker: refused")

    async def looks(number: int) -> None:
        for server in {id(s): s for s in waiting._servers.values()}.values():
            for _ in range(number):
                clock.advance(1_000)
                await waiting._look(server, lambda event, **fields: said.append((event, fields)))

    waiting.know("MIAOSHA_BROKER_URL", f"amqp://u:{SECRET}@mq/", ("broker",), check)
    await looks(int(AGAIN_S) + 30)
    assert [event for event, _ in said] == ["waiting_for", "waiting_for"]
    assert said[0][1] == {
        "setting": "MIAOSHA_BROKER_URL",
        "where": "amqp://mq/",
        "error": "refused",
    }
    away = False
    await looks(20)
    assert [event for event, _ in said[2:]] == ["came"]
    assert SECRET not in str(said)


async def test_a_server_that_answers_and_still_fails_has_not_come(clock: HandClock) -> None:
    """It answers a PING and refuses to write, say."""
    said: list[str] = []
    waiting = AwaitedServers(clock.monotonic)

    async def fine() -> None:
        return None

    waiting.know("MIAOSHA_REDIS_URL", "redis://cache", ("store",), fine)
    server = waiting.of("store: READONLY")
    assert server is not None
    for _ in range(50):
        waiting.told("store: READONLY")
        clock.advance(1_000)
        await waiting._look(server, lambda event, **_: said.append(event))
    assert said == []
    clock.advance(CALM_S * 1_000)
    await waiting._look(server, lambda event, **_: said.append(event))
    assert said == ["came"]


async def test_a_server_that_hangs_is_waited_for(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miaosha.serving.waiting.ANSWER_S", 0.01)
    said: list[dict[str, object]] = []
    waiting = AwaitedServers(clock.monotonic)
    waiting.know("MIAOSHA_REDIS_URL", "redis://cache", ("store",), asyncio.Event().wait)
    server = waiting.of("store: x")
    assert server is not None
    await waiting._look(server, lambda _, **fields: said.append(fields))
    assert said[0]["error"] == "TimeoutError"
