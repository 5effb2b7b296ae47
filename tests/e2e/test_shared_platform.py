"""What only a whole platform shows: a school behind one address, and the purchase route of the
API's document fuzzed where it is served, through the edge.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import positive_data_acceptance
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import unsupported_method

from miaosha import bootstrap
from miaosha.cli.command import here
from miaosha.trials import sample_sale
from miaosha.trials.crowd.http_client import Http
from tests.kit.running import Up, running

pytest_plugins = ("schemathesis.pytest.plugin",)  # dear to import, so not for every pytest
BUYERS = 500
STOCK = 50
# what else may be wrong with a press is said by 4xx; nginx itself refuses TRACE, without Allow
EXCLUDED = [positive_data_acceptance, unsupported_method]
UNDECIDED = ("queued", "none", "")

document = msgspec.json.decode(Path("docs/openapi.json").read_bytes())
config = SchemathesisConfig.from_dict({"generation": {"deterministic": True, "mode": "all"}})
schema = schemathesis.openapi.from_dict(document, config=config)


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with (
        tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name,
        running(Path(name)) as platform,
    ):
        yield platform


async def open_sale(up: Up, admin: sample_sale.Login) -> sample_sale.SampleSale:
    return await sample_sale.create_sale(
        "127.0.0.1",
        up.port,
        admin,
        stock=STOCK,
        opens_in_s=2,
        open_for_s=600,
        pay_within_s=600,
    )


@pytest.fixture(scope="module")
def people(up: Up) -> tuple[sample_sale.Login, list[str]]:
    """The admin, and the access tokens of BUYERS buyers."""

    async def make() -> tuple[sample_sale.Login, list[str]]:
        async with bootstrap.api(here(up.data)) as parts:
            admin, _ = await sample_sale.logins(parts)
            _, tokens = await sample_sale.accounts(parts, BUYERS)
        return admin, list(tokens.values())

    return asyncio.run(make())


async def verdict(up: Up, made: sample_sale.SampleSale, token: str) -> str:
    """One buyer's evening from 127.0.0.1: question, press, ask until there is an outcome."""
    http = Http("127.0.0.1", up.port, "127.0.0.1")
    http.token = token
    path = f"/api/v1/sales/{made.sale_id}"
    try:
        question = await asked(http, "GET", f"{path}/question", 200)
        answer = {"answer": made.right[question["id"]]}
        accepted = await asked(http, "POST", f"{path}/purchases", answer, 202, 410)
        if "request_id" not in accepted:
            return "sold_out"
        while True:
            mine = await asked(
                http, "GET", f"{path}/purchases/mine?request_id={accepted['request_id']}", 200
            )
            if mine["state"] not in UNDECIDED:
                return str(mine["state"])
            await asyncio.sleep(0.2)
    finally:
        http.close()


async def asked(http: Http, method: str, path: str, *expected: Any) -> dict[str, Any]:
    """Ask until the answer is one that was expected. A 429 may come, but not for ever; a publisher
    hears of a new sale within a second (404 until then), and it has to open (409)."""
    body = next((e for e in expected if isinstance(e, dict)), None)
    for _ in range(60):
        got = await http.request(method, path, body)
        if got.status in expected:
            return dict(got.body)
        assert got.status in (0, 404, 409, 429, 503), (path, got.status, got.body)
        await asyncio.sleep(max(0.2, got.retry_after_s))
    raise AssertionError(f"{path}: {got.status} to the end")


@pytest.mark.timeout(150)
def test_a_school_behind_one_address_is_served(
    up: Up, people: tuple[sample_sale.Login, list[str]]
) -> None:
    admin, tokens = people

    async def school() -> Counter[str]:
        made = await open_sale(up, admin)
        async with asyncio.timeout(100):
            return Counter(await asyncio.gather(*(verdict(up, made, t) for t in tokens)))

    outcomes = asyncio.run(school())

    assert outcomes.total() == BUYERS
    assert outcomes["held"] == STOCK, outcomes


@pytest.fixture(scope="module")
def pressed(up: Up, people: tuple[sample_sale.Login, list[str]]) -> tuple[int, str]:
    """A sale of its own for the fuzz, and one buyer's token."""

    async def make() -> int:
        made = await open_sale(up, people[0])
        assert await verdict(up, made, people[1][1]) == "held"  # it is open, and known everywhere
        return made.sale_id

    return asyncio.run(make()), people[1][0]


@schema.include(path_regex="/purchases$", method="POST").parametrize()
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_purchase_route_answers_as_documented(up: Up, pressed: Any, case: Any) -> None:
    sale_id, token = pressed
    case.path_parameters["sale_id"] = case.path_parameters.get("sale_id") or sale_id
    case.headers["Authorization"] = f"Bearer {token}"
    response = case.call(base_url=f"http://127.0.0.1:{up.port}")
    assert response.status_code < 500 or response.status_code == 503, response.text
    case.validate_response(response, excluded_checks=EXCLUDED)


async def test_a_stranger_is_refused_before_a_picture_is_sent(up: Up) -> None:
    """Nothing of it is kept at the edge, whose disk would fill."""
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    head = b"PUT /api/v1/admin/products/1/picture HTTP/1.1\r\nHost: localhost\r\n"
    writer.write(head + b"Content-Type: image/png\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 999)
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
