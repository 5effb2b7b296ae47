"""A shop with as many live sales as one may have: each can be bought, and none is forgotten."""

import asyncio
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miaosha import bootstrap
from miaosha.bootstrap import ApiParts
from miaosha.cli.command import here
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Phase, Question
from miaosha.ports.catalogue import Product
from miaosha.settings import Settings
from miaosha.trials import sample_sale
from miaosha.trials.crowd.http_client import Http
from miaosha.usecases.terms import draft_of
from tests.kit.killing import kill
from tests.kit.running import Up, running
from tests.kit.waits import eventually, until

SALES = Settings().live_sales_max
STOCK = 2
EACH = 5  # presses of one buyer: as many a second are let through
WITHIN_S = 600.0  # RabbitMQ takes a while to open as many queues
LONG = pytest.mark.timeout(1_800)
FROZEN_S = 10.0
IDLE_S = 6.0
IDLE_CORES_MAX = 1.2  # of all roles together, on a machine that may be slow

ANSWER = {"answer": "a"}
QUESTION = Question(1, "Which?", [Choice("a", "this"), Choice("b", "that")], "a")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((), id="embedded"),
        pytest.param(("--stack", "full"), id="full", marks=[pytest.mark.drill, LONG]),
    ],
)
def up(request: pytest.FixtureRequest) -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name:
        home = Path(name)
        home.chmod(0o711)  # the servers' own accounts come here
        with running(home, *request.param, outside={"TMPDIR": name}) as platform:
            yield platform


@pytest.fixture
async def parts(up: Up) -> AsyncIterator[ApiParts]:
    async with bootstrap.api(here(up.data)) as opened:
        yield opened


async def published(parts: ApiParts, number: int) -> list[int]:
    """Sales that opened a minute ago."""
    now = parts.clock.now_ms()
    price = Money(100, "EUR")
    product = await parts.catalogue.create_product(Product(0, "Kettle", "", "", price))
    draft = draft_of(
        product_id=product.id,
        title="Kettle",
        price=price,
        stock=STOCK,
        opens_at_ms=now - 60_000,
        closes_at_ms=now + 3_600_000,
        questions=[QUESTION],
    )
    sales = await asyncio.gather(
        *(parts.catalogue.create_sale(draft, Phase.SCHEDULED) for _ in range(number))
    )
    return [sale.id for sale in sales]


async def armed(parts: ApiParts, sale_ids: list[int]) -> bool:
    """They are on the board, and presses for them can be decided."""
    board = await parts.store.read_sales()
    if board is None or not set(sale_ids) <= set(board.sales):
        return False
    readings = await parts.store.readings(sale_ids)
    terms = {terms.sale_id: terms for terms in await parts.ledger.sales.live()}
    return all(
        reading is not None and reading.epoch == terms[id_].epoch and terms[id_].frozen is None
        for id_, reading in readings.items()
    )


async def buyers(parts: ApiParts, name: str, number: int) -> dict[int, str]:
    """The access token of each."""
    now = parts.clock.now_ms()
    people = [(f"{name}-{i}@crowd.example", name) for i in range(number)]
    ids = await parts.accounts.create_many(people, now)
    return {user_id: parts.tokens.access(user_id, "buyer", now) for user_id in ids}


@contextmanager
def asking(up: Up, token: str = "") -> Iterator[Http]:
    http = Http("127.0.0.1", up.port, "127.0.0.1")
    http.token = token
    try:
        yield http
    finally:
        http.close()


async def press(http: Http, sale_id: int) -> tuple[int, str]:
    """Status and code of a press, made again as a page does while the sale is frozen: what the
    store says is armed, a publisher reads a second later."""
    deadline = time.monotonic() + FROZEN_S
    while True:
        answer = await http.request("POST", f"/api/v1/sales/{sale_id}/purchases", ANSWER)
        if answer.code != "frozen" or time.monotonic() > deadline:
            return answer.status, answer.code
        await asyncio.sleep(0.2)


async def presses(
    up: Up, bought: dict[int, int], tokens: dict[int, str]
) -> Counter[tuple[int, str]]:
    """What one press in each sale by its buyer is answered with."""
    answers: Counter[tuple[int, str]] = Counter()

    async def one(user_id: int) -> None:
        with asking(up, tokens[user_id]) as http:
            for sale_id in (id_ for id_, buyer in bought.items() if buyer == user_id):
                answers[await press(http, sale_id)] += 1

    await asyncio.gather(*(one(user_id) for user_id in tokens))
    return answers


def cpu_s(up: Up) -> dict[str, float]:
    tick = os.sysconf("SC_CLK_TCK")
    spent = {}
    for role, pid in up.children().items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent[role] = (int(fields[11]) + int(fields[12])) / tick
    return spent


async def test_every_live_sale_is_on_the_board_pressed_for_and_decided(
    up: Up, parts: ApiParts, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    sale_ids = await published(parts, SALES)
    await until(lambda: armed(parts, sale_ids), WITHIN_S, what="all are armed")
    armed_s = time.monotonic() - began
    tokens = await buyers(parts, "first", SALES // EACH)
    users = list(tokens)
    bought = {id_: users[number // EACH] for number, id_ in enumerate(sale_ids)}

    assert await presses(up, bought, tokens) == {(202, ""): SALES}

    async def held() -> bool:
        holds = [await parts.ledger.holds.live(id_, user) for id_, user in bought.items()]
        return all(hold is not None for hold in holds)

    await until(held, WITHIN_S, what="every accepted press has its unit")

    before = cpu_s(up)
    await asyncio.sleep(IDLE_S)
    after = cpu_s(up)
    idle = {role: (after[role] - before[role]) / IDLE_S for role in before}
    with capsys.disabled():
        shown = ", ".join(f"{role} {cores:.3f}" for role, cores in sorted(idle.items()))
        print(f"\n{SALES} live sales armed in {armed_s:.1f} s; cores while idle: {shown}")
    assert sum(idle.values()) < IDLE_CORES_MAX


async def test_one_more_is_refused_by_name_and_stays_a_draft(up: Up, parts: ApiParts) -> None:
    admin, _ = await sample_sale.logins(parts)
    with asking(up) as http:
        signed = await http.request("POST", "/api/v1/sessions", admin._asdict())
    live = await parts.ledger.sales.live_ids()
    sale = await parts.catalogue.sale(live[0])
    assert sale is not None
    terms = draft_of(
        product_id=sale.product.id,
        title="One more",
        price=sale.price,
        stock=1,
        opens_at_ms=sale.opens_at_ms,
        closes_at_ms=sale.closes_at_ms,
        questions=[QUESTION],
    )
    drafted = await parts.catalogue.create_sale(terms, Phase.DRAFT)
    with asking(up, signed.body["access_token"]) as http:
        answer = await http.request("POST", f"/api/v1/admin/sales/{drafted.id}/publish")
    assert (answer.status, answer.code) == (409, "conflict")
    assert "live_sales_max" in answer.body["detail"]
    kept = await parts.catalogue.sale(drafted.id)
    assert kept is not None and kept.phase is Phase.DRAFT


async def test_a_consumer_that_starts_anew_takes_all_of_them_up(up: Up, parts: ApiParts) -> None:
    sale_ids = await parts.ledger.sales.live_ids()
    old = up.children()["consumer"]
    kill(old, signal.SIGKILL)
    eventually(lambda: up.children().get("consumer", old) != old, what="another consumer")
    wanted = sale_ids[:: len(sale_ids) // 20]
    tokens = await buyers(parts, "second", len(wanted))
    bought = dict(zip(wanted, tokens, strict=True))
    assert await presses(up, bought, tokens) == {(202, ""): len(wanted)}

    async def held() -> bool:
        holds = [await parts.ledger.holds.live(id_, user) for id_, user in bought.items()]
        return all(hold is not None for hold in holds)

    await until(held, WITHIN_S, what="every press has its unit")
    assert "consume_failed" not in (up.data.parent / "out").read_text()
