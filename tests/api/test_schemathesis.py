"""schemathesis against the document: every operation, valid and invalid input, over HTTP to the
role's own server in a thread. No 5xx, and every answer is one that the document describes."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import positive_data_acceptance
from schemathesis.config import SchemathesisConfig

from miaosha.adapters.sql.migrate import upgrade
from miaosha.api.app import routes
from miaosha.api.openapi import document
from miaosha.api.uvicorn_server import listen
from miaosha.serving.process import Process
from miaosha.settings import Settings
from miaosha.supervisor.servers.valkey import start_valkey
from tests.api.world import World, open_world

pytest_plugins = ("schemathesis.pytest.plugin",)  # here alone: it is dear to import
EXAMPLES = 8
DEADLINE_S = 20.0

config = SchemathesisConfig.from_dict({"generation": {"deterministic": True, "mode": "all"}})
# what a body may be beyond its schema (a sale that closes after it opens) is said by 400
EXCLUDED = [positive_data_acceptance]
schemathesis.serializer.alias(["image/heic", "image/heif"], "image/jpeg")  # bytes, as they are
schema = schemathesis.openapi.from_dict(document(routes()), config=config)
rejection = schema.config.checks.negative_data_rejection
# a text above its limit may make the body one, too
rejection.expected_statuses = [*rejection.expected_statuses, "413"]


@schema.auth()
class AdminToken:
    """An admin may call everything; schemathesis also tries without, and with a wrong one."""

    value = ""

    def get(self, case: Any, context: Any) -> str:
        return AdminToken.value

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


class Served:
    """The API served in a thread with an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database_url = f"sqlite:///{folder / 'fuzz.sqlite'}"
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._process = Process("api", "0", "127.0.0.1:0")
        self.base_url = ""
        self.counters: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        upgrade(self._database_url)
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._process.stop.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        store = await start_valkey(self._folder, "store")
        try:
            await self._serve_on(store.url)
        finally:
            await store.stop()

    async def _serve_on(self, store_url: str) -> None:
        async with open_world(store_url, self._database_url) as world:
            await self._furnish(world)
            bound: asyncio.Future[int] = self._loop.create_future()
            serving = asyncio.create_task(
                listen(world.app, self._process, Settings(), bound.set_result)
            )
            self.base_url = f"http://127.0.0.1:{await bound}"
            self._ready.set()
            await serving
            self.counters = world.counters

    async def _furnish(self, world: World) -> None:
        """Things for the guessed ids to hit: sales, a hold, an order, a draft."""
        admin = await world.person("admin")
        AdminToken.value = admin.token
        for _ in range(3):
            sale_id = await world.sale(admin)
            await world.hold(sale_id, admin)
        body = world.sale_body(await world.product(admin))
        await world.http.post("/api/v1/admin/sales", json=body, headers=admin.auth)
        await world.http.post(
            f"/api/v1/sales/{sale_id}/checkout",
            json=await world.checkout_body(sale_id, admin),
            headers=admin.auth,
        )


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name:
        server = Served(Path(name))
        server.start()
        yield server
        server.stop()
    assert server.counters["responses_2xx"] > 50  # it was let in
    assert server.counters["responses_4xx"] > 50
    assert server.counters.get("responses_5xx", 0) == 0, server.counters


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_described(case: Any, served: Served) -> None:
    case.call_and_validate(base_url=served.base_url, excluded_checks=EXCLUDED)
