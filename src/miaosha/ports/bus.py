"""Bus port: what the roles tell each other at once, and may lose."""

from collections.abc import AsyncIterator
from typing import Protocol

from miaosha.domain.messages import BusMessage


class Bus(Protocol):
    """Fan-out between roles: at most once, no memory. Losing it loses no outcome (G9)."""

    async def publish(self, message: BusMessage) -> None:
        """Tell all who listen now. Raises DependencyDown if the bus is away."""

    def listen(self) -> AsyncIterator[BusMessage]:
        """Messages until closed. A listener sends itself a ping each period, which is a second
        unless the adapter is told otherwise. It subscribes anew when it heard none for three."""

    async def close(self) -> None:
        """Close the connections; every `listen` ends."""
