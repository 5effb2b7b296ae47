"""Calls under way while a client of a cluster closes its connections to learn the cluster anew, on
the event loop the roles run on: they are done, or the store is away for a moment, and nothing else.
"""

import asyncio

import uvloop

from miaosha.adapters.redis.connect import Client, connect, reaching
from miaosha.domain.errors import DependencyDown

CALLERS = 16
TIMES = 40  # the cluster is learnt anew


async def _call(client: Client, caller: int, number: int) -> None:
    command = ("EVAL", "return 1", 1, f"{{sale:{caller}}}:x")
    with reaching("store"):
        if number % 2:
            await client.execute_command(*command)
        else:
            pipe = client.pipeline(transaction=False)
            pipe.execute_command(*command)
            [answer] = await pipe.execute(raise_on_error=False)
            if isinstance(answer, Exception):
                raise answer


def test_calls_under_way_are_done_or_the_store_is_away(cluster_url: str) -> None:
    async def scene() -> None:
        client = connect(cluster_url)
        over = asyncio.Event()
        done = 0

        async def calls(caller: int) -> None:
            nonlocal done
            number = 0
            while not over.is_set():
                number += 1
                try:
                    await _call(client, caller, number)
                    done += 1
                except DependencyDown:
                    pass

        calling = [asyncio.create_task(calls(caller)) for caller in range(CALLERS)]
        for _ in range(TIMES):
            before = done
            async with asyncio.timeout(20):
                while done < before + CALLERS and not any(t.done() for t in calling):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            await client.aclose()
        over.set()
        await asyncio.gather(*calling)
        await client.aclose()

    uvloop.run(scene())
