"""Bus port: what the roles tell each other at once, and may lose."""

from collections.abc import AsyncIterator
from typing import Protocol

from miaosha.domain.messages import BusMessage


class Bus(Protocol):
    """Fan-out between roles: at most once, no memory. Losing it loses no outcome (G9)."""

    async def publish(self, message: BusMessage) -> None: ...

    def listen(self) -> AsyncIterator[BusMessage]:
        """Messages until closed. A listener that has not heard itself through the bus for three
        periods subscribes anew by itself."""

    async def close(self) -> None: ...
