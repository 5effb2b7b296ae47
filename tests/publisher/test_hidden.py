"""A request hidden behind another one is never answered by a publisher, however it is framed."""

import asyncio
from pathlib import Path

import pytest

from tests.kit.hidden import LAST, WAYS, Dialogue, every, hiding
from tests.publisher.world import GET_HEALTH, listening, request, world

HIDDEN = request(user=999)  # a press more, if it were read
SIGNED = b"Authorization: Bearer user-1\r\nContent-Type: application/json\r\n"
TARGETS = {
    "a sale": b"/api/v1/sales/7/purchases",
    "an unknown sale": b"/api/v1/sales/8/purchases",
    "a query": b"/api/v1/sales/7/purchases?a=b",
    "health": b"/healthz",
    "readiness": b"/readyz",
    "nothing": b"/nothing",
    "a whole address": b"http://localhost/healthz",
    "an asterisk": b"*",
    "an authority": b"localhost:80",
}
READS = ("a sale", "an unknown sale", "a query")  # with POST


@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_hidden_is_answered(target: str, run_dir: Path) -> None:
    made = await world()
    async with listening(made, run_dir) as path:
        for method, name, way in every(WAYS):
            async with Dialogue.on(asyncio.open_unix_connection(path)) as dialogue:
                said = hiding(way, method, TARGETS[target], HIDDEN, SIGNED)
                answer = await dialogue.ask(said)
                if method != b"POST" or target not in READS:
                    assert answer.closes, (method, name)
                elif not answer.closes:
                    health = await dialogue.ask(GET_HEALTH)
                    assert health.body == b'{"status":"ok"}', (method, name)
            if name not in LAST:
                assert answer.status >= 400, (method, name)
            assert made.counters["accepted"] == 0, (method, name)
