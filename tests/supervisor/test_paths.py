"""Paths with anything in them that a file system takes, in everything that they are pasted into."""

import asyncio
import http.client
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
import trustme

from miaosha.adapters.redis.connect import connect
from miaosha.adapters.sql import migrate
from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.domain.urls import sqlite_url
from miaosha.settings import load
from miaosha.supervisor import process_plan, start_checks
from miaosha.supervisor.child_spec import Health, StartFailed
from miaosha.supervisor.children import Child
from miaosha.supervisor.edge import nginx_check
from miaosha.supervisor.edge.nginx_check import check_config
from miaosha.supervisor.edge.nginx_paths import quoted
from miaosha.supervisor.edge.upstreams import upstream_lines
from miaosha.supervisor.run_directory import run_directory, socket_place
from miaosha.supervisor.servers.rabbitmq import prepare_rabbitmq, start_rabbitmq
from miaosha.supervisor.servers.valkey import start_valkey
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster
from tests.kit.mariadb import start_mariadb, start_mariadb_replica
from tests.kit.running import Answer, free_port, miaosha, starting
from tests.kit.waits import eventually
from tests.supervisor.edge.test_edge import StandIn

NAMES = {
    "space": "a b",
    "quote": "it's",
    "quotes": 'a"b',
    "semicolon": "a;b",
    "variable": "a$uri${b}$",
    "hash": "a#b",
    "question": "a?b",
    "percent": "a%41%2Fb",
    "braces": "{a}",
    "backslash": "a\\b\\",
    "wide": "商店é",
    "pattern": "a[b]*",
    "shell": "`id`&|<>()!",
    "colon": "a:b,c=d@e",
    "dash": "-x",
    "long": "x" * 250,
}
EVERY = "".join(name for key, name in NAMES.items() if key not in ("long", "dash"))
PNG = b"\x89PNG"


@pytest.fixture(params=NAMES.values(), ids=list(NAMES))
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory of that name."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as top:
        path = Path(top, request.param)
        path.mkdir()
        yield path


@pytest.fixture
def every() -> Iterator[Path]:
    """One with everything in its name, which others may enter."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as top:
        Path(top).chmod(0o755)
        path = Path(top, EVERY)
        path.mkdir(mode=0o755)
        yield path


class Secure:
    """What is behind TLS on a port of this machine."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        self.port = port
        self._trust = ssl.create_default_context()
        authority.configure_trust(self._trust)

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        line = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30, context=self._trust, source_address=("127.0.0.1", 0)
        )
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
            line.request(method, path, body, sent)
            answer = line.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            line.close()

    def ready(self) -> bool:
        try:
            return self.ask("/readyz").status == 200
        except OSError:
            return False


def certificate(home: Path) -> tuple[trustme.CA, dict[str, str]]:
    """Written into `home`; and the settings that name it."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(home / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(home / "chain.pem"))
    settings = {"tls_certificate": str(home / "chain.pem"), "tls_key": str(home / "key.pem")}
    return authority, settings | {"public_url": "https://localhost"}


@asynccontextmanager
async def nginx(place: Path, run: Path) -> AsyncIterator[Secure]:
    """nginx with its certificate, its pictures, its log and its switch in `place`, and its sockets
    and configuration in `run`."""
    authority, tls = certificate(place)
    port = free_port()
    (place / "files").mkdir()
    settings = load({}, port=port, files_url=f"file:{place / 'files'}", **tls)
    places = process_plan.Places(place, run)
    roles = [StandIn(role, places.socket(f"{role}-0")) for role in ("publisher", "gateway", "api")]
    for role in roles:
        await role.start()
    child = Child(process_plan.edge_spec(settings, places), lambda text: None)
    await child.start()
    try:
        async with asyncio.timeout(30):
            while child.health is not Health.READY:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield Secure(port, authority)
    finally:
        await child.stop()
        for role in roles:
            await role.stop()


async def test_the_edge_finds_its_files_and_its_roles(
    place: Path, request: pytest.FixtureRequest
) -> None:
    """Beside its run directory the long name is too long for a socket: `up` would take /tmp."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as short:
        run = Path(short) if len(place.name) > 60 else place / "run"
        run.mkdir(exist_ok=True)
        async with nginx(place, run) as secure:
            (place / "files" / "lamp.png").write_bytes(PNG)
            (run / "over" / "7").touch()
            ask = secure.ask
            assert (await asyncio.to_thread(ask, "/files/lamp.png")).body == PNG
            assert b"<html" in (await asyncio.to_thread(ask, "/sales/7")).body
            assert (await asyncio.to_thread(ask, "/nowhere", Accept="text/html")).status == 404
            headers = (await asyncio.to_thread(ask, "/")).headers
            assert "default-src" in headers["Content-Security-Policy"], "includes are read"
            assert (await asyncio.to_thread(ask, "/api/v1/time")).json()["by"] == "api"
            press = "/api/v1/sales/7/purchases"
            assert (await asyncio.to_thread(ask, press, "POST", b"{}")).status == 409
            press = "/api/v1/sales/8/purchases"
            assert (await asyncio.to_thread(ask, press, "POST", b"{}")).json()["by"] == "publisher"


async def test_pictures_are_reached_through_a_link_and_nothing_else_is(run_dir: Path) -> None:
    (run_dir / "real").mkdir()
    linked = run_dir / "link"
    linked.symlink_to(run_dir / "real")
    async with nginx(linked, run_dir) as secure:
        (linked / "files" / "lamp.png").write_bytes(PNG)
        (linked / "files" / "outside.png").symlink_to("/etc/hostname")
        (linked / "files" / "folder").symlink_to("/etc")
        assert (await asyncio.to_thread(secure.ask, "/files/lamp.png")).body == PNG
        for path in ("/files/outside.png", "/files/folder/hostname"):
            assert (await asyncio.to_thread(secure.ask, path)).status == 404


def test_a_configuration_that_nginx_refuses_is_said_with_its_reason(run_dir: Path) -> None:
    (run_dir / "nginx.conf").write_text("frobnicate;")
    with pytest.raises(StartFailed, match=r'unknown directive "frobnicate"'):
        check_config(run_dir)


def test_an_nginx_that_never_ends_its_check_is_not_waited_for(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may resolve names, or read a certificate from a disk that hangs."""
    monkeypatch.setattr(nginx_check, "CHECK_S", 1e-6)
    (run_dir / "nginx.conf").write_text("frobnicate;")
    with pytest.raises(StartFailed, match="took longer"):
        nginx_check.check_config(run_dir)


@pytest.mark.parametrize("text", ["plain/path_1.sock", *NAMES.values()])
def test_a_word_is_quoted_only_where_it_must_be(text: str) -> None:
    word = quoted(text)
    assert word == text or (word[0] == word[-1] == '"' and set(" ;{}#$'\"\\?&,") & set(text + ","))


@pytest.mark.parametrize("address", ["unix:/run/a\nb", "unix:/run/\x00", "unix:run", "x y:80"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    addresses = {"publisher": [address], "gateway": ["a:1"], "api": ["a:2"]}
    with pytest.raises(SettingsError, match="host:port or unix:/path"):
        upstream_lines(addresses, "", 1)


async def test_a_valkey_is_reached_by_its_url(place: Path, run_dir: Path) -> None:
    run = run_dir if len(place.name) > 60 else None
    server = await start_valkey(place, "store", run_directory=run)
    try:
        client = connect(server.url)
        assert await client.set("a", "b")
        await client.aclose()
    finally:
        await server.stop()
    assert list((place / "store" / "appendonlydir").iterdir())


async def test_a_valkey_that_does_not_start_says_why(run_dir: Path) -> None:
    with pytest.raises(DependencyDown, match=r"did not start(.|\s)*path too long"):
        await start_valkey(run_dir, "store", run_directory=run_dir / ("x" * 120))


async def test_a_cluster_keeps_its_password_wherever_it_lies(every: Path, run_dir: Path) -> None:
    cluster = ValkeyCluster.prepare(every, run_directory=run_dir, password=True)
    await cluster.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(run_dir / "n0.sock"))
        writer.write(b"PING\r\n")
        assert (await reader.readline()).startswith(b"-NOAUTH")
        writer.close()
        client = connect(cluster.url)
        assert await client.set("a", "b")
        await client.aclose()
    finally:
        await cluster.stop()


def test_sqlite_opens_its_file(place: Path) -> None:
    path = place / "shop.sqlite"
    migrate.upgrade(sqlite_url(path))
    assert path.stat().st_size > 0 and migrate.current(sqlite_url(path)) == migrate.head()


@pytest.mark.servers
async def test_a_database_server_works_in_it(every: Path) -> None:
    primary = await start_mariadb(every)
    try:
        replica = await start_mariadb_replica(every, primary)
        try:
            await asyncio.to_thread(migrate.upgrade, primary.url)
            assert await asyncio.to_thread(migrate.current, primary.url) == migrate.head()
        finally:
            await replica.stop()
    finally:
        await primary.stop()


@pytest.mark.servers
async def test_a_broker_works_in_it_or_says_what_it_cannot_take(every: Path) -> None:
    with pytest.raises(SettingsError, match="no quotes"):
        prepare_rabbitmq(every)
    place = every.parent / EVERY.replace("'", "").replace('"', "")
    place.mkdir(mode=0o755)
    server = await start_rabbitmq(place)
    try:
        assert "miaosha" in await server.ctl("list_users")
    finally:
        await server.stop()


@contextmanager
def inside(path: Path) -> Iterator[None]:
    before = Path.cwd()
    path.mkdir()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    ("directory", "values", "said"),
    [
        ("a\nb", {}, "MIAOSHA_DATA_DIR=.*control character"),
        ("plain", {"data_dir": "x/" * 260 + "y"}, "MIAOSHA_DATA_DIR=.*bytes"),
    ],
)
def test_a_directory_that_nothing_can_use_is_refused(
    tmp_path: Path, directory: str, values: dict[str, str], said: str
) -> None:
    """Also one that only becomes so by where the command is started."""
    with inside(tmp_path / directory), pytest.raises(SettingsError, match=said):
        start_checks.check_paths(load({}, **values))


def test_a_place_for_sockets_is_short(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, place in (("short one", str(run_dir / "short one")), ("x" * 90, "/tmp")):
        (run_dir / name).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(run_dir / name))
        assert socket_place() == place


def test_a_configuration_for_another_nginx_names_whole_paths(every: Path, tmp_path: Path) -> None:
    words = ("--publisher", "a:1", "--gateway", "a:2", "--api", f"unix:{every}/api.sock")
    with inside(tmp_path / "here"):
        done = miaosha(
            *("edge", "config", "--into", str(tmp_path / "conf"), *words),
            *("--static", "web", "--files", str(every / "files"), "--error-log", "edge.log"),
        )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "conf" / "nginx.conf").read_text()
    for path in ("web", "edge.log"):
        assert f"{tmp_path / 'here' / path}" in text
    assert f"server {quoted(f'unix:{every}/api.sock')} max_fails=0;" in text
    refused = miaosha(
        *("edge", "config", "--into", str(tmp_path / "conf"), *words),
        *("--static", "a\nb", "--files", "files"),
    )
    assert refused.returncode == 2 and "control character" in refused.stderr


def test_a_whole_platform_lives_in_such_places(every: Path, tmp_path: Path) -> None:
    """Data behind a link, sockets, configuration and certificate: everything is somewhere odd, and
    the picture of a product is served."""
    (tmp_path / "data").symlink_to(every / "data")
    for name in ("data", "tls"):
        (every / name).mkdir()
    short = every.with_name("t ;$x#?%'\"\\[*]{é")  # and there is room for a socket's name
    short.mkdir()
    authority, settings = certificate(every / "tls")
    outside = {"TMPDIR": str(short)}
    with starting(tmp_path, settings=settings, outside=outside) as up:
        secure = Secure(up.port, authority)
        eventually(lambda: up.process.poll() is None and secure.ready(), what="ready")
        run_dir = Path(str(up.state()["run_dir"]))
        assert run_dir.parent == short
        account = ("--email", "ada@example.org", "--name", "Ada", "--password-stdin")
        password = "a long walk before noon 7"
        made = miaosha(
            *("user", "create", "--admin", *account, "--data-dir", str(up.data)), stdin=password
        )
        assert made.returncode == 0, made.stderr
        token = _posted(secure, "/api/v1/sessions", email="ada@example.org", password=password)
        auth = f"Bearer {token['access_token']}"
        path = "/api/v1/admin/products"
        lamp = {"name": "Lamp", "description": "", "list_price": {"amount": 9, "currency": "EUR"}}
        product = _posted(secure, path, auth, **lamp)
        picture = (files("miaosha.trials") / "moon-lamp.jpg").read_bytes()
        told = secure.ask(
            f"{path}/{product['id']}/picture",
            *("PUT", picture),
            Authorization=auth,
            Content_Type="image/jpeg",
        )
        assert told.status == 200, told.body
        served = secure.ask(told.json()["picture_url"])
        assert (served.status, served.headers["Content-Type"]) == (200, "image/webp")
        assert len(served.body) > 1_000
        assert miaosha("audit", "1", "--data-dir", str(up.data)).returncode == 1
        assert up.stop() == 0
    assert not list(short.iterdir())


def _posted(secure: Secure, path: str, auth: str = "", **body: object) -> dict[str, str]:
    sent = msgspec.json.encode(body)
    answer = secure.ask(path, "POST", sent, Authorization=auth, Content_Type="application/json")
    assert answer.status in (200, 201), answer.body
    found: dict[str, str] = answer.json()
    return found


@pytest.mark.parametrize("length", [59, 60, 80, 200])
def test_every_socket_fits_wherever_temporary_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as top:
        place = Path(top, "x" * (length - len(top) - 1))
        place.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        with run_directory("miaosha-edge-") as run:
            longest = process_plan.Places(tmp_path, run).alive_socket("publisher-9999", 9_999)
            assert len(bytes(longest)) < 108
            assert (run.parent == place) == (length == 59)
