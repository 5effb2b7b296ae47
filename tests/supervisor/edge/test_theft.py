"""The attack by which a stranger was handed a buyer's result: a poll hidden in a body.

The gateway took the body for a request and waited; nginx lent the connection to the buyer, and from
then on everybody on it was answered with what the one before had asked for.
"""

import asyncio
import contextlib
from pathlib import Path

import pytest

from miaosha.domain.messages import Results
from miaosha.sockets import listening
from tests.gateway.conftest import start as start_gateway
from tests.gateway.test_clients import HELD
from tests.kit.waits import until
from tests.sockets.polls import Http, connected, get, post
from tests.supervisor.edge.test_upstreams import small_edge

SPIES = 4
PREFLIGHT = b"OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n"


def disguises(hidden: bytes) -> list[bytes]:
    length = b"Content-Length: %d\r\n\r\n" % len(hidden)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)
    return [head + body for head in (PREFLIGHT, get("")[:-2]) for body in (length + hidden, chunks)]


@pytest.mark.parametrize("number", range(4))
async def test_a_buyers_result_goes_to_no_stranger(
    number: int, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LAST_WORDS_S", 0.0)
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(start_gateway())
        addresses = {role: [world.process.listen] for role in ("publisher", "gateway", "api")}
        port = await stack.enter_async_context(small_edge(run_dir, addresses))

        async def dial() -> Http:
            http = Http(*await asyncio.open_connection("127.0.0.1", port))
            stack.push_async_callback(http.close)
            return http

        buyer, stranger = await dial(), await dial()
        theirs, own = await connected(buyer, world.token(5)), await connected(stranger)
        smuggler = await dial()
        smuggler.send(disguises(get(own))[number])
        await smuggler.answer()

        waiting = asyncio.create_task(buyer.ask(get(theirs)))
        await asyncio.sleep(0.05)  # first come: this one would be lent the poisoned connection
        await stranger.ask(post(own, b'4211["watch",{"sale_id":7}]'))
        box = world.gateway.server.polling[theirs.encode()]._box
        assert box is not None
        await until(lambda: waiting.done() or box.poll)
        spies = [await dial() for _ in range(SPIES)]
        asking = [asyncio.create_task(spy.ask(PREFLIGHT + b"\r\n")) for spy in spies]
        await until(lambda: sum(spy.done() for spy in asking) >= SPIES - 1)
        await world.publish(Results([HELD]))

        answers = [await spy for spy in asking]
        assert not [answer.body for answer in answers if b"checkout_token" in answer.body]
        assert b'"checkout_token":"t"' in (await waiting).body
