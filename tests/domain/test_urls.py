"""What of URLs and paths is accepted, in which form, and what is refused saying why."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest
from sqlalchemy.engine import make_url

from miaosha.domain.service_links import is_service_link, told
from miaosha.domain.urls import directory_of, origin_of, path_fault, sqlite_url, unix_url

PATHS = (
    "/srv/shop",
    "/srv/a shop",
    '/srv/it\'s "so"',
    "/srv/a;b{c}",
    "/srv/$run $0 ${x}",
    "/srv/#1?x=1&y=2",
    "/srv/100%/%41",
    "/srv/a\\b",
    "/srv/商店/é",
    "/srv/a@b:c/[d]*",
    "/srv/" + "x" * 200,
)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("HTTPS://Shop.Example:443/", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("https://商店.example:8443", "https://xn--czrs0t.example:8443"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::0001]:8000", "http://[::1]:8000"),
        ("http://localhost", "http://localhost"),
        ("http://miaosha_edge:8000", "http://miaosha_edge:8000"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(text: str, origin: str) -> None:
    assert origin_of(text) == origin == origin_of(origin)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://shop.example/shop", "path"),
        ("https://shop.example//", "path"),
        ("https://shop.example?lang=en", "query"),
        ("https://shop.example/?", "query"),
        ("https://shop.example#top", "fragment"),
        ("https://ada:secret@shop.example", "password"),
        ("shop.example", "http://"),
        ("//shop.example", "http://"),
        ("ftp://shop.example", "http://"),
        ("*", "http://"),
        ("null", "http://"),
        ("", "http://"),
        ("https://", "host"),
        ("https://:8000", "host"),
        ("https://shop..example", "host"),
        ("https://-shop.example", "host"),
        ("https://shop.example.", "host"),
        ("https://sh op.example", "host"),
        ("https://shop.example;x", "host"),
        ("https://" + "a" * 64 + ".example", "host"),
        ("https://" + "a." * 130 + "example", "host"),
        ("https://1.2.3.999", "address"),
        ("https://[zz]", "address"),
        ("https://[fe80::1%25eth0]", "zone"),
        ("https://shop.example:0", "port"),
        ("https://shop.example:99999", "port"),
        ("https://shop.example:x", "port"),
        ("https://shop.example\n", "line break"),
        (" https://shop.example", "blank"),
    ],
)
def test_anything_else_is_refused_saying_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        origin_of(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_the_same_behind_a_url(path: str) -> None:
    assert make_url(sqlite_url(PurePosixPath(path))).database == path
    assert unquote(urlsplit(unix_url(PurePosixPath(path))).path) == path
    assert directory_of(f"file:{path}") == directory_of(f"file://{path}") == path
    assert not path_fault(path)


@pytest.mark.parametrize("path", ["", "a\nb", "a\0b", "a\x85b", "~/shop", "~ada/shop", "a\udcffb"])
def test_a_path_that_can_be_none_is_refused(path: str) -> None:
    assert path_fault(path)
    with pytest.raises(ValueError, match=r"\w"):
        directory_of(f"file:{path}")


@pytest.mark.parametrize("url", ["file://host/srv", "s3://bucket", "/srv", "FILE"])
def test_a_directory_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not"):
        directory_of(url)


LINKS = {
    "MIAOSHA_SERVICE_HOST": "10.96.0.12",
    "MIAOSHA_SERVICE_PORT": "80",
    "MIAOSHA_SERVICE_PORT_HTTP": "80",
    "MIAOSHA_PORT": "tcp://10.96.0.12:80",
    "MIAOSHA_PORT_80_TCP": "tcp://10.96.0.12:80",
    "MIAOSHA_PORT_80_TCP_PROTO": "tcp",
    "MIAOSHA_PORT_80_TCP_PORT": "80",
    "MIAOSHA_PORT_80_TCP_ADDR": "10.96.0.12",
    "MIAOSHA_METRICS_PORT": "tcp://[fd00::12]:9100",
    "MIAOSHA_EDGE_SERVICE_HOST": "fd00::12",
    "MIAOSHA_EDGE_PORT_443_UDP": "udp://10.96.0.13:443",
}


@pytest.mark.parametrize("name", LINKS)
def test_what_a_cluster_sets_is_known_by_its_value(name: str) -> None:
    assert is_service_link(name, LINKS[name])
    assert not is_service_link(name, "yes")
    assert not is_service_link("MIAOSHA_PUBLISHERS", LINKS[name])


def test_it_is_told_in_one_sentence() -> None:
    said = told({**LINKS, "PATH": "/bin", "MIAOSHA_PUBLISHERS": "2"})
    assert said.startswith("ignored 11 variables such as MIAOSHA_PORT,")
    assert "enableServiceLinks: false" in said and "\n" not in said
    assert told({"MIAOSHA_PORT": "8000"}) == ""
