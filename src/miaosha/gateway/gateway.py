"""Gateway: wires the sale to the sockets, runs its tasks, and drains when told to stop."""

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any, Final

from miaosha.bootstrap import GatewayParts
from miaosha.gateway.events import SaleEvents
from miaosha.gateway.fanout import Fanout
from miaosha.gateway.hub import Hub
from miaosha.gateway.lookups import ASKERS, Lookups
from miaosha.gateway.sale_views import Sales
from miaosha.serving import memory
from miaosha.serving.ending import end
from miaosha.serving.listening import bound
from miaosha.serving.process import Process
from miaosha.settings import Settings, proxies
from miaosha.sockets.admission import Admission, sockets_max
from miaosha.sockets.application import Limits
from miaosha.sockets.handshake import Rules, listed_origins
from miaosha.sockets.listening import drain, listening
from miaosha.sockets.server import SocketServer

PATH: Final = b"/socket.io/"


def limits_of(settings: Settings) -> Limits:
    return Limits(
        connections_max=sockets_max(settings.connections_max),
        message_max=settings.socket_message_max_bytes,
        buffer_max=settings.socket_buffer_max_bytes,
        head_max=settings.header_max_bytes,
        rate_per_s=settings.socket_rate_per_s,
        burst=settings.socket_burst,
        handshake_s=settings.socket_handshake_timeout_ms / 1000,
        ping_interval_s=settings.ping_interval_ms / 1000,
        ping_timeout_s=settings.ping_timeout_ms / 1000,
    )


class Gateway:
    """The sale on a Socket.IO server.

    Args:
        parts: what bootstrap opened for a gateway.
    """

    def __init__(self, parts: GatewayParts, process: Process, settings: Settings) -> None:
        clock = parts.clock
        self._process = process
        self._drain_s = settings.drain_ms / 1000, settings.drain_return_ms / 1000
        hub = Hub(process.watching, settings.sockets_per_user_max)
        self._sales = Sales(parts.store, parts.heartbeats, clock, hub.count, process.instance)
        self._lookups = Lookups(parts.store, self._sales)
        self.events = SaleEvents(
            hub,
            self._sales,
            self._lookups,
            parts.access_tokens,
            clock,
            question_key=parts.question_key,
            retry_after_s=settings.ping_timeout_ms // 1000 + 1,
        )
        origins = listed_origins(settings.public_url, settings.allowed_origins, settings.port)
        self.server = SocketServer(
            self.events,
            limits_of(settings),
            Rules(PATH, origins),
            monotonic=clock.monotonic,
            now_s=lambda: clock.now_ms() // 1000,
            counters=process.counters,
            instance=process.number,
            checks=process.checks,
            admission=Admission(
                settings.sockets_per_ip_max,
                settings.accept_rate_per_s,
                proxies(settings),
                monotonic=clock.monotonic,
            ),
        )
        self._fanout = Fanout(hub, self._sales, parts.bus, self.server)
        self._heartbeat = functools.partial(process.heartbeat, parts.heartbeats, clock)
        process.counters.setdefault("connects_refused_user", 0)
        process.checks["board"] = self._sales.check
        process.checks.update(parts.checks)

    async def run(self) -> None:
        """Serve until `stop`, then drain. A task that fails ends the process: it is restarted."""
        await self._fanout.refresh()
        memory.settle()
        listening_on = listening(self.server, self._process.listen)
        async with listening_on as listener, asyncio.TaskGroup() as group:
            self._process.listen = str(bound(listener))
            tasks = [group.create_task(work) for work in self._work()]
            await self._process.stop.wait()
            listener.close()
            await drain(self.server, *self._drain_s)
            await end(tasks)

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        askers = [self._lookups.run() for _ in range(ASKERS)]
        fanout = self._fanout
        rest = [fanout.follow(), fanout.broadcast(), fanout.listen(), self._heartbeat()]
        return [self.server.wheel.run(), *rest, *askers]
