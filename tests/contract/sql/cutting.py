"""A TCP proxy in front of a SQL server that cuts one connection at its COMMIT."""

import asyncio
import contextlib
import re
from enum import Enum

COMMIT = re.compile(rb"\bCOMMIT(?!TED)")


class Cut(Enum):
    NEVER = "never"
    BEFORE = "before"  # the server never sees the COMMIT
    AFTER = "after"  # the server commits; its answer is swallowed
    SILENT = "silent"  # as AFTER, and the client's connection stays open: nothing ever comes


class CuttingProxy:
    """Listens on `port` of loopback. Set `cut`; it applies to the next COMMIT, or to the one after
    `passing` others, and is then NEVER."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut = Cut.NEVER
        self.passing = 0
        self.port = 0

    async def __aenter__(self) -> "CuttingProxy":
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        await asyncio.sleep(0)  # who was let in and has not begun would not hear of the end
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listening.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        back: asyncio.Task[None] | None = None
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                there = await asyncio.open_connection("127.0.0.1", self._server_port)
                back = asyncio.create_task(_copy(there[0], writer))
                await self._forward(reader, there, back)
        finally:
            if back is not None:
                back.cancel()
            if there is not None:
                there[1].close()
            writer.close()
            self._tasks.discard(task)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        back: "asyncio.Task[None]",
    ) -> None:
        while data := await reader.read(65_536):
            cut = self._due() if COMMIT.search(data) else Cut.NEVER
            if cut is Cut.NEVER:
                there[1].write(data)
                continue
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            if cut is Cut.BEFORE:
                return
            there[1].write(data)
            await there[0].read(65_536)  # it has committed
            if cut is Cut.AFTER:
                return
            await reader.read()  # until the client gives up

    def _due(self) -> Cut:
        """What to do with this COMMIT."""
        if self.cut is not Cut.NEVER and self.passing:
            self.passing -= 1
            return Cut.NEVER
        cut, self.cut = self.cut, Cut.NEVER
        return cut


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()
