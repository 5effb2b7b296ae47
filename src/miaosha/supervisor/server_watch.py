"""Server watch: tells which servers of somebody else's `up` and `edge` wait for, or have lost."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from miaosha.serving.waiting import AwaitedServers, Server, reason
from miaosha.supervisor.watches import Tell, say

ANSWER_S: Final = 5.0
LOOK_S: Final = 1.0


async def answering(servers: Sequence[Server], tell: Tell) -> None:
    """Returns when all of them answer; until then `tell` hears which is waited for, at once and
    then once a minute."""
    await asyncio.gather(*(_answers(server, tell) for server in servers))


async def _answers(server: Server, tell: Tell) -> None:
    since = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(ANSWER_S):
                await server.check()
        except Exception as error:
            if server.blame(time.monotonic()):
                why = reason(str(error)) or type(error).__name__
                _say(tell, "waiting_for", setting=server.setting, where=server.where, error=why)
            await asyncio.sleep(LOOK_S)
            continue
        if server.told:
            after_s = round(time.monotonic() - since, 1)
            _say(tell, "came", setting=server.setting, where=server.where, after_s=after_s)
        return


async def watched(servers: Sequence[Server], tell: Tell) -> None:
    """Until cancelled, `tell` hears which of them is away, and that it came back."""
    waiting = AwaitedServers()
    for number, server in enumerate(servers):
        waiting.know(server.setting, server.where, (str(number),), server.check)
    await waiting.run(lambda event, **fields: _say(tell, event, **fields))


def _say(tell: Tell, event: str, **fields: Any) -> None:
    place = f"{fields['setting']} ({fields['where']})"
    if event == "came":
        say(tell, f"{place} came after {fields['after_s']:g} s")
    else:
        say(tell, f"waiting for {place}: {fields['error']}")
