"""Channels: opened and ended so that many, one after the other, never end the connection."""

from typing import Any, Final

import aiormq.channel
from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.channel import exception_by_code
from aiormq.connection import Connection
from pamqp import commands as spec

from miaosha.domain.errors import Overloaded

Channel = AbstractChannel

CHANNELS_MAX: Final = 2_047  # of one connection, by RabbitMQ's own default


class Channels:
    """Opens channels with numbers that were not used lately. A number the broker has just closed is
    free for the client before the broker has heard so."""

    def __init__(self) -> None:
        self._number = 0  # of the one opened last

    async def open(self, connection: Connection, *, confirms: bool) -> Channel:
        """Raises Overloaded."""
        for _ in range(CHANNELS_MAX):
            self._number = self._number % CHANNELS_MAX + 1
            if self._number not in connection.channels:
                break
        else:
            raise Overloaded("broker_channels_max")
        channel = _Channel(connection, self._number, publisher_confirms=confirms)
        connection.channels[self._number] = channel
        await channel.open()
        return channel


class _Channel(aiormq.channel.Channel):
    """The client's, which does not confirm that the broker closed it while it has much to write.
    For the broker the number is then taken for ever, and whoever opens it ends the connection."""

    async def _on_close_frame(self, frame: spec.Channel.Close) -> None:
        self._close_exception = error = exception_by_code(frame)
        confirmed: Any = ChannelFrame.marshall(self.number, [spec.Channel.CloseOk()])
        await self.write_queue.put(confirmed)
        self._Channel__close_event.set()  # type: ignore[attr-defined]
        raise error
