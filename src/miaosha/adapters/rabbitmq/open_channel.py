"""Kept channel: kept open from one question to the next, and opened again when it was closed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from miaosha.adapters.rabbitmq.channels import Channel
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Link


async def _nothing(_: Channel) -> None:
    pass


class KeptChannel:
    """Args: prepare: what a fresh channel needs first."""

    def __init__(
        self, link: Link, prepare: Callable[[Channel], Awaitable[None]] = _nothing
    ) -> None:
        self._link = link
        self._prepare = prepare
        self._opening = asyncio.Lock()
        self._stack = contextlib.AsyncExitStack()
        self._channel: Channel | None = None

    async def get(self) -> Channel:
        """Raises DependencyDown."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self.close()
                self._channel = await self._stack.enter_async_context(self._link.channel())
                async with asyncio.timeout(COMMAND_TIMEOUT_S):
                    await self._prepare(self._channel)
            return self._channel

    async def close(self) -> None:
        self._channel = None
        await self._stack.aclose()
