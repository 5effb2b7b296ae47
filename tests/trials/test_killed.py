"""A gateway is killed while two thousand buyers wait for their results: pushes are hints, so what
was sent meanwhile is lost, and everybody has it a moment after reconnecting.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from miaosha.adapters.redis.connect import connect as connect_redis
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.messages import BATCH_USERS_MAX, Result, Results
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase
from miaosha.trials.crowd.socketio_client import Socket, connect
from miaosha.trials.rehearsal.leader import RehearsalOptions, gateway_settings
from miaosha.trials.rehearsal.private_gateways import SALE_ID, PrivateGateways, private_gateways
from miaosha.trials.rehearsal.token_mint import minting
from tests.contract.sales import arm, press
from tests.kit.running import free_port

BUYERS = 2_000
AT_ONCE = 100
WITHIN_S = 60.0


class Buyer:
    """Comes back when the connection is gone, and asks. `told` by push, `asked` by lookup."""

    def __init__(self, number: int, token: str, targets: list[str]) -> None:
        self.number = number
        self.token = token
        self.targets = targets
        self.dice = random.Random(number)
        self.told = ""
        self.asked = ""
        self.came_back = 0
        self.socket: Socket | None = None
        self.returning: asyncio.Task[None] | None = None

    async def come(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        address = f"127.0.1.{1 + self.number % 100}"
        self.socket = await connect(host, int(port), address, self.token, self._event, self._closed)

    def _event(self, name: str, argument: Any) -> None:
        if name == "result":
            self.told = argument["state"]

    def _closed(self) -> None:
        if self.socket is not None and self.returning is None:
            self.socket = None
            self.returning = asyncio.create_task(self._return())

    async def _return(self) -> None:
        self.asked = ""
        while not self.asked:
            await asyncio.sleep(self.dice.uniform(0.0, 1.0))
            try:
                await self.come(self.dice.choice(self.targets))
                self.asked = await self._ask()
            except (OSError, TimeoutError):
                self.leave()
        self.came_back += 1

    async def _ask(self) -> str:
        assert self.socket is not None
        answer = await self.socket.call("lookup", {"sale_id": SALE_ID})
        return str(answer["state"])

    def leave(self) -> None:
        socket, self.socket = self.socket, None
        if socket:
            socket.close()


async def gather(buyers: list[Buyer]) -> None:
    """Each at the gateway of its number."""
    for start in range(0, len(buyers), AT_ONCE):
        some = buyers[start : start + AT_ONCE]
        await asyncio.gather(*(b.come(b.targets[b.number % len(b.targets)]) for b in some))


async def decide(running: PrivateGateways, users: list[int]) -> None:
    """Everybody's press is decided: one unit, the rest on standby."""
    client = connect_redis(running.settings.redis_url)
    store = RedisStore(client)
    await arm(store, SALE_ID, 1, standby_limit=BUYERS)
    for start in range(0, len(users), BATCH_USERS_MAX):
        await press(store, SALE_ID, f"b{start}", *users[start : start + BATCH_USERS_MAX])
    await client.aclose()


async def test_everybody_has_the_result_after_reconnecting() -> None:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name:
        settings = gateway_settings(RehearsalOptions(connections=BUYERS))
        async with private_gateways(
            Path(name), f"127.0.0.1:{free_port()}", 2, lambda text: None, settings
        ) as running:
            await running.show(Phase.OPEN)
            token = minting(running.settings.secret_keys, running.clock.now_ms() // 1000)
            users = list(range(1, BUYERS + 1))
            buyers = [Buyer(user, token(user).decode(), running.targets) for user in users]
            await gather(buyers)
            await decide(running, users)

            running.children[0].kill()
            results = [Result(SALE_ID, user, f"b.{user}", State.STANDBY, 1) for user in users]
            await running.bus.publish(Results(results))

            end = time.monotonic() + WITHIN_S
            while not all(b.told or b.asked for b in buyers) or not all(b.socket for b in buyers):
                assert time.monotonic() < end, sum(bool(b.told or b.asked) for b in buyers)
                await asyncio.sleep(0.05)
            killed = [b for b in buyers if b.came_back]
            assert len(killed) == BUYERS // 2 and running.restarts == 1
            assert {b.told for b in buyers if b not in killed} == {"standby"}
            assert [b.asked for b in killed].count("standby") >= BUYERS // 2 - 1  # and one winner
            for buyer in buyers:
                buyer.returning = asyncio.current_task()
                buyer.leave()
