"""Rolling upgrade: replaces every role process of a running platform, one by one.

The new process runs what is installed now, and no request is refused on the way. For each process
its successor starts beside it, on a socket of its own, and becomes ready. The edge's link moves to
the successor. The predecessor finishes what was already on its way, and ends. A successor that does
not become ready is ended instead, and everything goes on as it was.

`miaosha roll` asks for it over a unix socket in the run directory. It writes a line, and reads
lines that tell how far the upgrade is. The last one is DONE, or FAILED and why.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from miaosha.domain.errors import DependencyDown, MiaoshaError
from miaosha.serving.ending import end
from miaosha.supervisor.child_spec import Health, Spec
from miaosha.supervisor.children import Child
from miaosha.supervisor.watches import Tell

SOCKET = "control.sock"
ASK = "roll"
DONE = "done"
FAILED = "failed: "
READY_WITHIN_S = 60.0
LOOK_S = 0.05
ARRIVE_S = 0.5  # a connection that the edge makes before the switch is accepted within this
FINISH_WITHIN_S = 30.0  # the slowest card takes ten seconds
LINE_S = 5.0  # for a line of the caller, and for the last one to reach it
UNREAD_MAX = 65_536  # bytes that wait for the caller

Successor = Callable[[Spec], Child]
Switch = Callable[[Spec], None]


class RollFailed(MiaoshaError):
    """A successor did not become ready; its predecessor was left as it is."""


class Rolling:
    """Args:
    children: the platform's; a successor stands before its predecessor until that has ended.
    successor: makes what runs in place of a Spec.
    switch: lets the edge's new connections go to what this Spec runs.
    """

    def __init__(self, children: list[Child], successor: Successor, switch: Switch) -> None:
        self._children = children
        self._successor = successor
        self._switch = switch
        self._one = asyncio.Lock()

    async def roll(self, roles: tuple[str, ...], say: Tell) -> int:
        """Replace every process of `roles`; how many that were. Raises RollFailed."""
        if self._one.locked():
            raise RollFailed("a rolling upgrade is under way")
        async with self._one:
            old = [child for child in self._children if child.spec.role in roles]
            for child in old:
                await self._replace(child)
                say(f"{child.spec.name} replaced")
            return len(old)

    async def _replace(self, old: Child) -> None:
        new = self._successor(old.spec)
        await new.start()
        try:
            await _ready(new)
            self._switch(new.spec)
        except BaseException:
            await new.stop()
            raise
        self._children.insert(self._children.index(old), new)  # a drain ends both
        await asyncio.sleep(ARRIVE_S)
        await old.stop(FINISH_WITHIN_S)
        self._children.remove(old)


async def _ready(child: Child) -> None:
    """Raises RollFailed if it ends before it is ready, or takes too long."""
    name = child.spec.name
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_WITHIN_S
    while child.health is not Health.READY:
        why = ""
        if child.restarts or child.gave_up is not None:
            why = "ended at once"
        elif loop.time() > deadline:
            why = f"was not ready within {READY_WITHIN_S:.0f} s"
        if why:
            words = child.last_words()
            raise RollFailed(f"the successor of {name} {why}; {name} goes on as it was{words}")
        await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def control(rolling: Rolling, roles: tuple[str, ...], run: Path) -> AsyncIterator[None]:
    """Answer `miaosha roll` while the body runs; a roll under way is cancelled at its end."""
    under_way: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await _answer(rolling, roles, reader, writer)
        finally:
            under_way.discard(task)
            writer.close()

    server = await asyncio.start_unix_server(serve, run / SOCKET)
    (run / SOCKET).chmod(0o600)
    try:
        yield
    finally:
        server.close()
        await end(under_way)


async def _answer(
    rolling: Rolling,
    roles: tuple[str, ...],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    def say(text: str) -> None:
        """Whoever asked may be gone, or sleep: the roll goes on."""
        if writer.transport.get_write_buffer_size() < UNREAD_MAX:
            writer.write(text.encode(errors="replace") + b"\n")

    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(LINE_S):
            line = (await reader.readline()).decode(errors="replace").split()
        if line[:1] != [ASK]:
            return
        wanted = tuple(line[1:]) or roles
        try:
            if unknown := sorted(set(wanted) - set(roles)):
                raise RollFailed(f"no role {unknown[0]!r}: expected {', '.join(roles)}")
            await rolling.roll(wanted, say)
            say(DONE)
        except RollFailed as error:
            say(FAILED + str(error).replace("\n", " "))
        except Exception as error:  # a full disk, say: the asker hears of it
            say(f"{FAILED}{type(error).__name__}: {error}".replace("\n", " "))
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(LINE_S):
                await writer.drain()


async def ask(run: Path, roles: tuple[str, ...], say: Tell) -> None:
    """Have the platform whose run directory this is replace `roles` (none: all of them); `say`
    hears how far it is.

    Raises:
        RollFailed: it stopped before the end; what was replaced until then stays so.
        DependencyDown: nobody answers.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(run / SOCKET)
    except OSError as error:
        raise DependencyDown(f"the platform does not answer: {error.strerror}") from None
    try:
        writer.write(" ".join([ASK, *roles]).encode() + b"\n")
        while line := (await reader.readline()).decode().rstrip("\n"):
            if line == DONE:
                return
            if line.startswith(FAILED):
                raise RollFailed(line.removeprefix(FAILED))
            say(line)
        raise DependencyDown("the platform ended before its roles were all replaced")
    finally:
        writer.close()
