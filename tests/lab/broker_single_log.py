"""Single log: reads a sale's log on the laboratory's single server, up to an end mark."""

from collections.abc import AsyncGenerator
from typing import Final

from miaosha.domain.errors import DependencyDown
from tests.lab.broker_lending import LoggedMessage
from tests.lab.broker_single import SingleServer
from tests.lab.link import Link

PAGE: Final = 200


async def write_mark(server: SingleServer, link: Link, port: str, log: str) -> str:
    """Raises DependencyDown, QueueMissing: there is no log."""
    return await link(f"{port}.mark_log", lambda: server.mark(log))


async def read_log(
    server: SingleServer, link: Link, port: str, log: str, mark: str, newest: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The bodies in order, up to the end mark.

    Args:
        newest: only so many of the last, by the server's last counting: so perhaps more.

    Raises:
        DependencyDown: also if the log is gone, or ends without the mark.
    """
    after = 0
    if newest is not None:
        counted = await link(f"{port}.count_log", lambda: server.log(log).counted())
        after = max(0, counted - newest)
    while True:
        page = await link(f"{port}.read_log", lambda after=after: _page(server, log, after))  # type: ignore[misc]
        for entry in page:
            if not entry.end_mark:
                yield entry.raw
            elif entry.end_mark == mark:
                return
        if len(page) < PAGE:
            raise DependencyDown(f"broker: {log} ended early")
        after += PAGE


def _page(server: SingleServer, log: str, after: int) -> list[LoggedMessage]:
    return server.log(log).entries[after : after + PAGE]
