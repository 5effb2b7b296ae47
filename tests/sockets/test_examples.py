"""The examples, with the stock clients: JavaScript's and Python's."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.sockets.echo import DEADLINE_S, EXAMPLES, FREE, example
from tests.sockets.stock import browser

README = Path(__file__).parents[2] / "src" / "miaosha" / "sockets" / "README.md"


@pytest.fixture(scope="module")
def echo_url() -> Iterator[str]:
    with example("socketio_echo.py", *FREE) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chat_url() -> Iterator[str]:
    with example("socketio_rooms.py", "127.0.0.1:0") as port:
        yield f"http://127.0.0.1:{port}"


async def test_the_echo(echo_url: str) -> None:
    async with browser(echo_url, auth={"token": "x"}) as client:
        assert await client.said("connect")
        assert await client.event("auth") == {"token": "x"}
        client.do("emit", "message", 7)
        assert await client.event("message-back") == 7
        assert await client.ask("message-with-ack", {"a": [1]}) == {"a": [1]}


async def test_a_chat(chat_url: str) -> None:
    ann = socketio.AsyncClient(reconnection=False)
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    ann.on("said", lambda name, text: heard.put_nowait((name, text)))
    async with browser(chat_url, auth={"name": "bob"}) as bob:
        assert await bob.said("connect")
        await ann.connect(chat_url, auth={"name": "ann"})
        assert await bob.ask("join", "hall") == 1
        assert await ann.call("join", "hall") == 2
        assert await ann.call("say", ("attic", "anybody?")) == 0, "a room she is not in"
        bob.do("emit", "say", "hall", "hello")
        assert await bob.event_args("said") == ["bob", "hello"]
        assert await bob.said("ack") == ["say", 2]
        async with asyncio.timeout(DEADLINE_S):
            assert await heard.get() == ("bob", "hello")
            await ann.disconnect()
            while await bob.ask("join", "hall") > 1:  # noqa: ASYNC110 - she leaves
                await asyncio.sleep(0.25)


def test_an_example_says_how_it_is_started() -> None:
    for name in ("socketio_echo.py", "socketio_rooms.py"):
        command = [sys.executable, str(EXAMPLES / name), "--help"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "usage:" in said


@pytest.mark.parametrize(
    ("name", "options"), [("socketio_echo.py", FREE), ("socketio_rooms.py", ("127.0.0.1:0",))]
)
def test_ctrl_c_ends_an_example_without_a_word(name: str, options: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on port")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=DEADLINE_S) == ("", "")
    assert process.returncode == 0


async def test_a_chat_needs_a_name(chat_url: str) -> None:
    async with browser(chat_url) as client:
        assert await client.said("connect_error") == ["A name is required", None]


async def test_the_client_of_the_examples_readme(
    chat_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (EXAMPLES / "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    begin, _, last = code.replace("http://localhost:3000", chat_url).rpartition("\n\n")
    assert last == "asyncio.run(main())\n"
    exec(begin, names)  # noqa: S102
    async with asyncio.timeout(DEADLINE_S):
        await names["main"]()
    assert capsys.readouterr().out.splitlines() == re.findall(r"#: (.*)", code)


async def test_the_code_of_the_readme() -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    names: dict[str, Any] = {}
    code = found[1].replace("127.0.0.1:3000", f"127.0.0.1:{port}")
    exec(code.replace("https://example.org", "*"), names)  # noqa: S102
    stop = asyncio.Event()
    serving = asyncio.create_task(names["main"](stop))
    url = f"http://127.0.0.1:{port}"
    async with browser(url, auth={"name": "ann"}, transports=["websocket"]) as client:
        assert await client.said("connect")
        client.do("emit", "hi")
        assert await client.event("hello") == "ann"
        assert await client.said("ack") == ["hi", "heard"]
        stop.set()
        await asyncio.wait_for(serving, DEADLINE_S)
        assert await client.said("disconnect")
