"""A request hidden behind another one reaches no role through the edge, and no visitor pays for it.

Real nginx with one worker, so that a connection to a role is lent to the very next visitor, in
front of each role in turn.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from miaosha.adapters.sql.migrate import upgrade
from miaosha.sockets import listening as gateway_listening
from miaosha.supervisor.edge.request_bodies import BODIES
from miaosha.supervisor.servers.valkey import start_valkey
from tests.api.test_hidden import serving
from tests.api.world import open_world
from tests.gateway.conftest import start as start_gateway
from tests.kit.hidden import BARE, DISPUTED, HONEST, LAST, Answer, Dialogue, Way, every, hiding
from tests.publisher.world import listening, request, world
from tests.sockets.polls import get
from tests.supervisor.edge.test_edge import Edge, at_edge
from tests.supervisor.edge.test_upstreams import small_edge

__all__ = ["at_edge"]
NOT_IN_THE_DOCUMENT = {("POST", "/socket.io"), ("POST", "/sandbox/{secret}")}
SIGNED = b"Authorization: Bearer user-1\r\nContent-Type: application/json\r\n"
OPEN = b"/socket.io/?EIO=4&transport=polling"
# what is behind these is the same client's second request, if nothing announces a body
WAYS = HONEST | DISPUTED | BARE | {"a length in 1.0": LAST["a length in 1.0"]}
NGINX_TAKES = {*HONEST, *BARE, "a length in 1.0", "a length in 1.2"} - {"a length between blanks"}


PATHS = msgspec.json.decode(Path("docs/openapi.json").read_bytes())["paths"]


def test_bodies_are_let_in_where_the_document_lists_one() -> None:
    listed = {
        (method.upper(), path)
        for path, operations in PATHS.items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    assert set(BODIES) == listed | NOT_IN_THE_DOCUMENT
    assert len(BODIES) == len(set(BODIES))


@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_address_of_the_document(at_edge: Edge, slash: str) -> None:
    others = ["/healthz", "/readyz", "/api/docs", "/api/docs/openapi.json", "/sandbox/{secret}"]
    others += ["/socket.io", "/", "/sw.js"]
    for path in [*PATHS, *others]:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            where = re.sub(r"\{\w+\}", "7", path).rstrip("/") + slash
            forwarded = sum(len(role.heads) for role in at_edge.roles.values())
            answer = await at_edge.ask(where or "/", method, body=b"{}")
            forwarded = sum(len(role.heads) for role in at_edge.roles.values()) - forwarded
            listed = (method, path) in BODIES
            assert (answer.status, forwarded) == ((200, 1) if listed else (400, 0)), (method, where)


class Through:
    """The edge before one role.

    Args:
        reads: targets (of the role) where a POST may bring a body.
    """

    def __init__(self, port: int, reads: set[bytes]) -> None:
        self.port = port
        self._reads = reads

    async def attacks(
        self, targets: list[bytes], hidden: bytes
    ) -> AsyncIterator[tuple[Answer, bool, str]]:
        """The answer to each attack, whether it may have come to the role, and its name."""
        for target in targets:
            for method, name, way in every(WAYS):
                label = f"{method.decode()} {target.decode()}: {name}"
                taken = method == b"POST" and target in self._reads and name in NGINX_TAKES
                answer = await self._attack(way, method, target, hidden)
                if not taken:
                    assert answer.status in (400, 405, 501, 505), label
                    assert b"problem+json" in answer.head, label
                if not taken and answer.status != 405:  # TRACE and CONNECT
                    assert answer.closes, label
                yield answer, taken, label

    async def _attack(self, way: Way, method: bytes, target: bytes, hidden: bytes) -> Answer:
        async with Dialogue.on(asyncio.open_connection("127.0.0.1", self.port)) as dialogue:
            answer = await dialogue.ask(hiding(way, method, target, hidden, SIGNED))
            if not answer.closes:
                page = await dialogue.ask(b"GET /favicon.svg HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"image/svg+xml" in page.head
        return answer

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Dialogue]:
        async with Dialogue.on(asyncio.open_connection("127.0.0.1", self.port)) as dialogue:
            yield dialogue


@asynccontextmanager
async def before(run: Path, address: str, role: str, reads: set[bytes]) -> AsyncIterator[Through]:
    """The edge with this role at `address`; the others are away."""
    addresses = {name: [f"unix:{run}/away"] for name in ("publisher", "gateway", "api")}
    async with small_edge(run, addresses | {role: [address]}) as port:
        yield Through(port, reads)


async def test_at_a_gateway(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_listening, "LAST_WORDS_S", 0.0)
    unknown = OPEN + b"&sid=0-unknown"
    socket = OPEN.replace(b"polling", b"websocket")
    targets = [OPEN, b"/socket.io?EIO=4&transport=polling", unknown, socket, b"/socket.io/other"]
    async with (
        start_gateway() as made,
        before(run_dir, made.process.listen, "gateway", set(targets[:-1])) as edge,
        edge.visitor() as visitor,
    ):
        known: set[bytes] = set()
        async for _, _, label in edge.attacks(targets, get("")):
            assert set(made.gateway.server.polling) <= known, label
            mine = (await visitor.ask(get(""))).body
            sid = str(msgspec.json.decode(mine[1:])["sid"]).encode()
            assert sid not in known, label
            known.add(sid)


async def test_at_a_publisher(run_dir: Path) -> None:
    made = await world()
    targets = [b"/api/v1/sales/7/purchases", b"/api/v1/sales/x/purchases"]
    async with (
        listening(made, run_dir) as path,
        before(run_dir, f"unix:{path}", "publisher", set(targets)) as edge,
        edge.visitor() as visitor,
    ):
        user = 1_000
        asked = 0
        async for _, taken, label in edge.attacks(targets, request(user=999)):
            asked += taken
            assert made.counters["requests"] == asked, label
            user += 1
            mine = await visitor.ask(request(user=user))
            assert mine.status == 202, label
            asked += 1
        assert made.counters["accepted"] == user - 1_000


async def test_at_the_api(run_dir: Path) -> None:
    """Its targets are every path of the document, and what else it answers."""
    upgrade(database := f"sqlite:///{run_dir / 'api.sqlite'}")
    valkey = await start_valkey(run_dir, "store")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(valkey.stop)
        made = await stack.enter_async_context(open_world(valkey.url, database))
        path, asked = await stack.enter_async_context(serving(made, run_dir))
        reads = {b"/api/v1/accounts", b"/api/v1/payments/webhook/sandbox", b"/sandbox/x"}
        edge = await stack.enter_async_context(before(run_dir, f"unix:{path}", "api", reads))
        visitor = await stack.enter_async_context(edge.visitor())
        targets = [
            *reads,
            *(b"/api/v1/sales", b"/api/v1/time", b"/api/v1/sessions/refresh"),
            b"/api/docs/openapi.json",
            *(b"/api/v1/sales/1/purchases/mine", b"/healthz", b"/nothing", b"/index.html"),
        ]
        hidden = b"GET /api/v1/time?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
        visits = 0
        async for _, taken, label in edge.attacks(targets, hidden):
            assert b"hidden" not in asked.queries, label
            assert len(asked.queries) == taken, label
            visits += 1
            mine = await visitor.ask(b"GET /api/v1/time?v=%d HTTP/1.1\r\nHost: x\r\n\r\n" % visits)
            assert b"server_time_ms" in mine.body, label
            assert asked.queries[taken:] == [b"v=%d" % visits], label
            asked.queries.clear()
