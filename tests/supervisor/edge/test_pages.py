"""The built pages as the edge serves them: what they weigh, how long they are kept, what they may
load, and what a person reads where there is nothing. And that a wheel has them.
"""

import gzip
import re
import zipfile
from pathlib import Path

import pytest

from miaosha.supervisor.edge.nginx_config import static_dir
from tests.kit import wheels
from tests.supervisor.edge.test_edge import Edge, at_edge

__all__ = ["at_edge"]  # the fixture

FIRST_LOAD_MAX_BYTES = 60_000  # compressed: HTML, scripts and styles of the sale page
A_PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
GZIP = {"Accept-Encoding": "gzip"}


def assets(page: str) -> set[str]:
    """What a page names: its scripts, styles and the modules to load ahead."""
    return set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page))


async def test_the_sale_page_is_light(at_edge: Edge) -> None:
    page = await at_edge.ask("/sales/7", headers=GZIP)
    sizes = {"/sales/7": len(page.body)}
    for path in assets(gzip.decompress(page.body).decode()):
        answer = await at_edge.ask(path, headers=GZIP)
        assert answer.headers["Content-Encoding"] == "gzip", path
        sizes[path] = len(answer.body)
    assert len(sizes) >= 3
    assert sum(sizes.values()) <= FIRST_LOAD_MAX_BYTES, sizes


async def test_the_other_language_fits_as_well(at_edge: Edge) -> None:
    """Its texts are one file more, loaded when it is wanted; the console's are none of it."""
    page = (await at_edge.ask("/")).body.decode()
    chunks = sorted((static_dir() / "assets").glob("zh-Hant-*.js"))
    assert len(chunks) == 2, "the shop's texts and the console's"
    largest = max(len(gzip.compress(chunk.read_bytes())) for chunk in chunks)
    named = sum(len(gzip.compress((static_dir() / p[1:]).read_bytes())) for p in assets(page))
    assert named + largest <= FIRST_LOAD_MAX_BYTES


async def test_hashed_files_are_kept_for_a_year_and_pages_are_not(at_edge: Edge) -> None:
    page = await at_edge.ask("/")
    assert page.headers["Cache-Control"] == "no-cache"
    for path in assets(page.body.decode()):
        answer = await at_edge.ask(path)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    worker = await at_edge.ask("/sw.js")
    assert worker.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/sales/7",
        "/sales/7?payment=returned",
        "/orders",
        "/orders/0199a1b2-0000-7000-8000-000000000000",
        "/sign-in?next=%2Fsales%2F7",
        "/sign-up",
        "/account",
        "/admin",
        "/admin/sales/7/edit",
    ],
)
async def test_one_page_shows_every_address_of_the_shop(at_edge: Edge, path: str) -> None:
    answer = await at_edge.ask(path, headers=A_PERSON)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html"
    assert b'id="app"' in answer.body


async def test_no_page_runs_what_is_written_into_it(at_edge: Edge) -> None:
    page = await at_edge.ask("/sales/7")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert f"connect-src 'self' ws://localhost:{at_edge.port}" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    for file in static_dir().glob("*.html"):
        text = file.read_text()
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", text), file.name


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/"])
async def test_the_apis_page_is_one_of_the_pages(at_edge: Edge, path: str) -> None:
    page = await at_edge.ask(path)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
    assert page.headers["Cache-Control"] == "no-cache"
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert b"/assets/docs-" in page.body
    assert not at_edge.roles["api"].asked
    assert (await at_edge.ask(path, "POST")).status == 405


@pytest.mark.parametrize("path", ["/nowhere", "/sales/x", "/assets/gone.js", "/orders/../etc"])
async def test_an_unknown_address_is_a_404_in_the_shops_dress(at_edge: Edge, path: str) -> None:
    answer = await at_edge.ask(path, headers=A_PERSON)
    assert answer.status == 404
    assert answer.headers["Content-Type"] in ("text/html", "application/problem+json")
    if not path.startswith("/assets/"):
        assert b'id="app"' in answer.body
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert (await at_edge.ask(path)).json()["code"] == "not_found"


async def test_a_person_reads_a_page_when_a_role_is_away(at_edge: Edge) -> None:
    await at_edge.roles["api"].stop()
    answer = await at_edge.ask("/sandbox/x", headers=A_PERSON)
    assert answer.status == 503
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Retry-After"] == "1"
    assert "再試一次" in answer.body.decode()
    assert (await at_edge.ask("/api/v1/time")).json()["code"] == "unavailable"


def test_a_wheel_has_the_pages(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheels.build(tmp_path)) as wheel:
        names = set(wheel.namelist())
    pages = [static_dir() / name for name in ("index.html", "docs.html")]
    wanted = {f"miaosha/web{path}" for page in pages for path in assets(page.read_text())}
    wanted |= {f"miaosha/web/{name}" for name in ("sw.js", "licenses.md", *(p.name for p in pages))}
    assert wanted <= names
    assert not [name for name in names if "node_modules" in name]
