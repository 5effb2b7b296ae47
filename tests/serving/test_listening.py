"""Where a role listens: what is an address, and what every role's listener is like."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.domain.errors import SettingsError
from miaosha.serving.listening import Address, bound, listening, parsed


@pytest.mark.parametrize(
    ("text", "address", "again"),
    [
        ("unix:/run/p.sock", Address("/run/p.sock"), "unix:/run/p.sock"),
        ("127.0.0.1:8000", Address("", "127.0.0.1", 8000), "127.0.0.1:8000"),
        ("[::1]:8000", Address("", "::1", 8000), "[::1]:8000"),
        ("shop.example:0", Address("", "shop.example", 0), "shop.example:0"),
        (":8000", Address("", "127.0.0.1", 8000), "127.0.0.1:8000"),
    ],
)
def test_addresses(text: str, address: Address, again: str) -> None:
    assert parsed(text) == address
    assert str(address) == again


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "127.0.0.1", "8000", "127.0.0.1:", "host:x", "host:65536", "host:-1", "h:²"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--metrics '.*': expected unix:/path or host:port"):
        parsed(text, "--metrics")


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


async def greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    async with asyncio.timeout(5):
        said = await reader.read()
    writer.close()
    return said == b"hello"


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.usefixtures("narrow_umask")
async def test_a_unix_socket_is_open_to_the_edge_and_goes_with_its_listener(run_dir: Path) -> None:
    path = run_dir / "role.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))  # left behind, and open to its owner alone
    async with listening(Greeter, f"unix:{path}") as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert bound(server) == Address(str(path))
        assert await greeted(*await asyncio.open_unix_connection(str(path)))
    assert not path.exists()


async def test_a_living_process_keeps_its_socket(run_dir: Path) -> None:
    path = run_dir / "role.sock"
    async with listening(Greeter, f"unix:{path}"):
        with pytest.raises(SettingsError, match="the address is taken"):
            async with listening(Greeter, f"unix:{path}"):
                raise AssertionError
        assert await greeted(*await asyncio.open_unix_connection(str(path)))


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example"])
async def test_a_host_that_is_no_name_is_refused_as_a_setting(host: str) -> None:
    with pytest.raises(SettingsError, match="--listen"):
        async with listening(Greeter, f"{host}:0"):
            raise AssertionError


async def test_a_file_that_is_no_socket_is_left_alone(run_dir: Path) -> None:
    path = run_dir / "precious"
    path.write_text("kept")
    with pytest.raises(SettingsError, match="the address is taken"):
        async with listening(Greeter, f"unix:{path}"):
            raise AssertionError
    assert path.read_text() == "kept"


async def test_a_port_that_the_kernel_chose_is_told() -> None:
    async with listening(Greeter, ":0") as server:
        address = bound(server)
        assert address.host == "127.0.0.1" and address.port
        assert await greeted(*await asyncio.open_connection(address.host, address.port))
        with pytest.raises(SettingsError, match=rf"--listen {address}: the address is taken"):
            async with listening(Greeter, str(address)):
                raise AssertionError


async def test_a_place_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"--listen unix:/nowhere/role.sock: .*No such file"):
        async with listening(Greeter, "unix:/nowhere/role.sock"):
            raise AssertionError
