"""Settings: what is accepted works later; what is refused names the setting, and what it takes."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings, environ_of, load, origins
from miaosha.supervisor.start_checks import check_settings
from tests.domain.test_urls import LINKS
from tests.kit.running import free_port

SECRET = "hunter2"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def there() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as file:
        yield Path(file.name)


async def refused(port: int, **values: str) -> str:
    """Why such settings are, by the settings themselves or by what is asked before a start."""
    environ = {f"MIAOSHA_{name.upper()}": value for name, value in values.items()}
    with pytest.raises(SettingsError) as error:
        await check_settings(load(environ, port=port))
    assert SECRET not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("public_url", "https://shop.example/shop", "with a path"),
        ("public_url", "shop.example", "https://"),
        ("public_url", f"https://u:{SECRET}@shop.example", "password"),
        ("allowed_origins", "https://a.example, *", r"'\*'.*never allowed"),
        ("allowed_origins", "https://a.example/x", "with a path"),
        ("trusted_proxies", "proxy.example", "10.0.0.0/8"),
        ("trusted_proxies", "fe80::1%eth0", "10.0.0.0/8"),
        ("bind", "0.0.0.0; user root", "an address of this machine"),
        ("bind", "", "an address of this machine"),
        ("data_dir", "", "empty"),
        ("data_dir", "~/shop", "~"),
        ("data_dir", "a\nb", "line break"),
        ("data_dir", "a\udcff", "no text"),
        ("tls_key", "~/key.pem", "~"),
        ("secret_keys", f"k1:{SECRET}\n", "line break"),
        ("database_url", f"mysql://u:{SECRET}@h/db\n", "line break"),
        ("mail_from", "Shop\x85 <a@b.example>", "control character"),
        ("redis_url", f"redis://:{SECRET}@h/shop", "database"),
        ("redis_url", f"redis://:{SECRET}@h/-1", "database"),
        ("redis_url", f"redis://:{SECRET}@h?timeout=1", "timeout"),
        ("redis_url", f"redis://:{SECRET}@h:0", "port"),
        ("redis_url", f"redis://:{SECRET}@", "host"),
        ("redis_url", f"redis://:{SECRET}#x@h", r"host|port"),
        ("redis_url", f"redis://:{SECRET}@h/0#x", "%23"),
        ("redis_url", "unix://run/x.sock", "three slashes"),
        ("redis_url", "unix:///run/x.sock?db=one", "database"),
        ("redis_url", "rediss://h?ssl_ca_certs=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("redis_url", "rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("redis_url", f"redis+cluster://:{SECRET}@a:1,b:99999", "port"),
        ("broker_url", f"redis://:{SECRET}@h/log", "database"),
        ("broker_url", f"amqp://u:{SECRET}@h:99999/", "port"),
        ("broker_url", f"amqp://u:{SECRET}@h/?prefetch=1", "prefetch"),
        ("broker_url", f"amqp://u:{SECRET}@h/?heartbeat=often", "heartbeat"),
        ("broker_url", f"amqps://u:{SECRET}@h/?cafile=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("broker_url", f"amqp://u:{SECRET}@h/#x", "%23"),
        ("database_url", "sqlite:///shop?.sqlite", "%3F"),
        ("database_url", "sqlite:///~/shop.sqlite", "~"),
        ("database_url", "sqlite:////" + "x/" * 300 + "shop.sqlite", "480 bytes"),
        ("database_url", f"mysql://u:{SECRET}@h", "name of a database"),
        ("database_url", f"mysql://u:{SECRET}@/shop", "host"),
        ("database_url", f"mysql://u:{SECRET}@h:99999/shop", "port"),
        ("database_url", f"mysql://u:{SECRET}@h/shop?charset=latin1", "charset"),
        ("database_url", f"mysql://u:{SECRET}@h/shop?ssl_ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("database_url", f"postgresql://u:{SECRET}@h/shop?sslmode=require", "known are .*ssl"),
        ("database_url", f"postgresql://u:{SECRET}@h/shop?ssl=on", "ssl"),
        ("database_replica_url", f"mariadb://u:{SECRET}@h/shop?foo=1", "foo"),
        ("mail_url", f"smtp://u:{SECRET}@h/path", "path"),
        ("mail_url", "smtp://u@h", "password"),
        ("mail_url", f"smtp://:{SECRET}@h", "user"),
        ("mail_url", "smtp://h:0", "port"),
        ("mail_url", "file://host/mails", "another host"),
        ("mail_url", "console:please", "console:"),
        ("files_url", "file://host/files", "another host"),
        ("files_url", "file:~/files", "~"),
        ("payments_url", "stripe:live", "sandbox:"),
    ],
)
async def test_what_would_fail_later_is_refused(
    port: int, name: str, value: str, said: str
) -> None:
    values = {name: value}
    if name == "tls_key":
        values |= {"tls_certificate": "/cert.pem", "public_url": "https://shop.example"}
    why = await refused(port, **values)
    setting = "DATABASE" if name == "database_replica_url" else name.upper()
    assert f"MIAOSHA_{setting}" in why
    assert re.search(said, why), why


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_url", "redis://user:p%23%3Fss@h:6380/2"),
        ("redis_url", "rediss://h?ssl_ca_certs={there}&ssl_cert_reqs=required"),
        ("redis_url", "unix:///run/a%20b.sock?db=1"),
        ("redis_url", "redis+cluster://:pass@a:6379,b:6379"),
        ("broker_url", "amqps://u:p%40ss@h:5671/a/b?cafile={there}&heartbeat=5"),
        ("broker_url", "amqp://h"),
        ("database_url", "sqlite:///a%3Fb#c.sqlite"),
        ("database_url", "mysql://u:p%40ss@h:3307/shop?charset=utf8mb4&ssl_ca={there}"),
        ("database_url", "mariadb://u:p@/shop?unix_socket=/run/mysqld/mysqld.sock"),
        ("database_url", "postgresql://u:p@h/shop?ssl=verify-full"),
        ("mail_url", "smtp://u:p%40ss@mail.example:587?starttls=required&timeout_s=5"),
        ("mail_url", "file:///srv/mails"),
        ("files_url", "file:files #1"),
        ("trusted_proxies", "10.0.0.1, fd00::/8"),
    ],
)
async def test_what_works_is_accepted(port: int, there: Path, name: str, value: str) -> None:
    environ = {f"MIAOSHA_{name.upper()}": value.replace("{there}", str(there))}
    await check_settings(load(environ, port=port))


def test_the_public_url_is_one_in_every_link() -> None:
    """The slash at its end, the upper case and the port that is none make no second shop."""
    settings = load(
        {
            "MIAOSHA_PUBLIC_URL": "HTTPS://Shop.Example:443/",
            "MIAOSHA_ALLOWED_ORIGINS": " https://Other.example/ ,http://x.example:80,",
        }
    )
    assert settings.public_url == "https://shop.example"
    assert origins(settings) == [
        "http://localhost:8000",
        "http://x.example",
        "https://other.example",
        "https://shop.example",
    ]
    assert load(environ_of(settings)) == settings


def test_variables_of_a_cluster_are_no_settings() -> None:
    assert load(LINKS) == Settings()
    assert load(LINKS | {"MIAOSHA_PORT": "8080"}).port == 8080, "a person's word counts"
    with pytest.raises(SettingsError, match="MIAOSHA_SERVICE_HOST: no such setting"):
        load({"MIAOSHA_SERVICE_HOST": "shop.example"})
    with pytest.raises(SettingsError, match="MIAOSHA_PORT='http://x': expected a whole number"):
        load({"MIAOSHA_PORT": "http://x"})


def test_a_setting_is_text() -> None:
    for field in Settings.__struct_fields__:
        if isinstance(getattr(Settings(), field), str):
            with pytest.raises(SettingsError, match=f"MIAOSHA_{field.upper()}"):
                msgspec.structs.replace(Settings(), **{field: "a\x1bb"})
