"""`python -m miaosha.gateway` in production: what it loads, how it starts and ends."""

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from miaosha.supervisor.servers.valkey import Valkey
from tests.gateway.conftest import DEADLINE_S
from tests.kit.waits import until
from tests.sockets.wire import HEAD, masked

HEAVY = ["sqlalchemy", "pydantic", "typer", "litestar", "aiosqlite"]

# the module as `python -m` runs it, telling at its end what it had loaded
SCRIPT = f"""
import atexit, json, runpy, sys
atexit.register(lambda: print(json.dumps([m for m in {HEAVY} if m in sys.modules])))
runpy.run_module("miaosha.gateway", run_name="__main__", alter_sys=True)
"""


def environment(store: Valkey, run_dir: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MIAOSHA_")}
    secret = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
    return kept | {
        "MIAOSHA_REDIS_URL": store.url,
        "MIAOSHA_SECRET_KEYS": f"k1:{secret}",
        "MIAOSHA_DATA_DIR": str(run_dir),
    }


async def start(store: Valkey, run_dir: Path, listen: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        "--listen",
        listen,
        env=environment(store, run_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def dial(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    opened = []

    async def listens() -> bool:
        with contextlib.suppress(OSError):
            opened.append(await asyncio.open_unix_connection(str(path)))
        return bool(opened)

    await until(listens, DEADLINE_S, what="the gateway listens")
    return opened[0]


async def test_a_gateway_process(store_server: Valkey, run_dir: Path) -> None:
    path = run_dir / "gateway.sock"
    process = await start(store_server, run_dir, f"unix:{path}")
    reader, writer = await dial(path)
    writer.write(HEAD + b"\r\n" + masked(b"40") + masked(b'421["watch",{"sale_id":7}]'))
    said = b""
    while b"431[" not in said:
        chunk = await asyncio.wait_for(reader.read(4096), DEADLINE_S)
        assert chunk, said
        said += chunk
    assert b'{"ok":false,"code":"unavailable","retry_after_s":1}' in said, "no board yet"
    process.send_signal(signal.SIGTERM)
    rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
    writer.close()
    assert b"\x03\xf4restart" in said + rest
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, err.decode()
    loaded = [line for line in out.splitlines() if line.startswith(b"[")]
    assert msgspec.json.decode(loaded[-1]) == []
    assert not path.exists()


async def test_an_address_that_is_taken(store_server: Valkey, run_dir: Path) -> None:
    listener = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    process = await start(store_server, run_dir, f"127.0.0.1:{port}")
    _, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    listener.close()
    assert process.returncode == 2
    assert f"--listen 127.0.0.1:{port}".encode() in err
