"""Link: the one way from a process of the laboratory to a server of it.

A server here is a plain object whose methods change it at once. A client of it implements a port;
each of its calls passes through the link of its process, where latency and faults are.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from miaosha.domain.errors import DependencyDown, Fault

T = TypeVar("T")


class Link(Protocol):
    async def __call__(
        self, call: str, act: Callable[[], T], *, lost: type[Fault] = DependencyDown
    ) -> T:
        """What `act` returns or raises, at one instant of the server.

        Args:
            call: `port.method`, as faults and coverage name it.
            act: changes the server or reads it; may not be run at all, and may be run twice where
                a client repeats a call by itself.
            lost: what is raised if the call took effect and its answer was lost.

        Raises:
            DependencyDown: the server was not reached, and nothing was done.
        """
        ...


async def straight(call: str, act: Callable[[], T], *, lost: type[Fault] = DependencyDown) -> T:
    """A link without latency and faults."""
    return act()
