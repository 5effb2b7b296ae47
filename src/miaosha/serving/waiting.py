"""Waiting: the servers a process stands on, and the log lines while one is away.

One line names the setting, the place and the reason; then one a minute; and one when it has come.
A process has one such object, because any of its loops may wait. Passwords of URLs are not shown.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

AGAIN_S: Final = 60.0  # between two lines about a server that is away
LOOK_S: Final = 5.0  # at a server nobody complains about
LOOK_AWAY_S: Final = 1.0
ANSWER_S: Final = 2.0
CALM_S: Final = 3.0  # without a complaint, before a server that answers has come
TEXT_MAX: Final = 300

Check = Callable[[], Awaitable[object]]
Say = Callable[..., object]

log = structlog.get_logger()


@dataclass
class Server:
    """What is known of one server.

    Attributes:
        setting: the one that leads to it, such as MIAOSHA_REDIS_URL.
        where: its URL without user, password and options.
        check: returns when it answers; raises, or takes too long, when it does not.
    """

    setting: str
    where: str
    check: Check
    away_since: float = 0.0  # 0: it is there
    blamed_at: float = 0.0
    told_at: float = float("-inf")
    told: bool = False

    def blame(self, now: float) -> bool:
        """It did not do its part; whether that shall be said now."""
        self.away_since = self.away_since or now
        self.blamed_at = now
        if now - self.told_at < AGAIN_S:
            return False
        self.told_at, self.told = now, True
        return True

    def answered(self, now: float) -> float:
        """It answers. Seconds for which it was away, if that shall be said now; else 0."""
        if not self.away_since or now - self.blamed_at < CALM_S:
            return 0.0
        away_s, told = now - self.away_since, self.told
        self.away_since, self.told = 0.0, False
        return away_s if told else 0.0


class AwaitedServers:
    """The servers by the names that errors of adapters begin with (`store: …`)."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._servers: dict[str, Server] = {}
        self._monotonic = monotonic

    def know(self, setting: str, url: str, names: Sequence[str], check: Check) -> None:
        """Learn of a server, or learn anew."""
        server = Server(setting, shown(url), check)
        for name in names:
            self._servers[name] = server

    def of(self, text: str) -> Server | None:
        """The server an error speaks of, if it speaks of one."""
        name, colon, _ = text.removeprefix("DependencyDown: ").partition(":")
        return self._servers.get(name) if colon else None

    def told(self, text: str) -> "tuple[Server, bool] | None":
        """For a log line with this error: its server, and whether to say so now."""
        server = self.of(text)
        return (server, server.blame(self._monotonic())) if server else None

    def explained(self, text: str) -> str:
        """An error for a person: with the setting and the place."""
        server = self.of(text)
        return f"{server.setting} ({server.where}): {reason(text)}" if server else text

    async def run(self, say: Say | None = None) -> None:
        """Until cancelled, look at every server, and say what there is to say.

        Args:
            say: takes an event ("waiting_for", "came") and its fields; None: the log.
        """
        while True:
            servers = list({id(server): server for server in self._servers.values()}.values())
            for server in servers:
                await self._look(server, say or log.warning)
            away = any(server.away_since for server in servers)
            await asyncio.sleep(LOOK_AWAY_S if away or not servers else LOOK_S)

    async def _look(self, server: Server, say: Say) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await server.check()
        except Exception as error:
            if server.blame(self._monotonic()):
                why = reason(str(error)) or type(error).__name__
                where, why = server.where, why[:TEXT_MAX]
                say("waiting_for", setting=server.setting, where=where, error=why)
            return
        if away_s := server.answered(self._monotonic()):
            say("came", setting=server.setting, where=server.where, after_s=round(away_s, 1))


def reason(text: str) -> str:
    """An error without the name of the server."""
    return text.removeprefix("DependencyDown: ").partition(":")[2].strip() or text


def shown(url: str) -> str:
    """A URL without what is secret in it: user, password (whatever signs it has) and options."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url.partition("?")[0]
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


waiting: Final = AwaitedServers()
