"""Public files in a directory."""

import asyncio
from pathlib import Path

import pytest

from miaosha.adapters.files import open_files
from miaosha.domain.errors import DependencyDown, Problem, SettingsError
from miaosha.ports.files import Files
from miaosha.settings import Settings


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return open_files(Settings(files_url=f"file:{tmp_path / 'files'}"))


async def test_round_trip(files: Files, tmp_path: Path) -> None:
    assert await files.get("products/1.png") is None
    await files.delete("products/1.png")
    assert await files.put("products/1.png", b"one", "image/png") == "/files/products/1.png"
    assert await files.put("products/1.png", b"two", "image/png") == "/files/products/1.png"
    assert await files.get("products/1.png") == b"two"
    stored = tmp_path / "files/products/1.png"
    assert stored.stat().st_mode & 0o777 == 0o644  # the edge's workers may be another user
    assert [p.name for p in stored.parent.iterdir()] == ["1.png"]
    await files.delete("products/1.png")
    assert await files.get("products/1.png") is None


async def test_a_reader_never_sees_half_a_file(files: Files) -> None:
    contents = [bytes([n]) * 500_000 for n in range(8)]
    await files.put("a.png", contents[0], "image/png")

    async def write() -> None:
        for content in contents:
            await files.put("a.png", content, "image/png")

    writing = asyncio.gather(write(), write())
    while not writing.done():
        assert await files.get("a.png") in contents
    await writing


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../a.png", "/etc/a.png", "a/../b.png", "a//b.png", ".hidden.png"),
        *("a/.b.png", "a\0.png", "a\n.png", "a b.png", "ä.png", "a/b/c/d/e.png", "a.png/"),
        "x" * 201 + ".png",
    ],
)
async def test_names_that_are_refused(files: Files, name: str, tmp_path: Path) -> None:
    for call in (files.put(name, b"x", "image/png"), files.get(name), files.delete(name)):
        with pytest.raises(Problem, match="name"):
            await call
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html"),
        ("a.html", "image/png"),
        ("a.png", "image/jpeg"),
        ("a", "image/png"),
        ("a.png", ""),
    ],
)
async def test_types_that_are_refused(files: Files, name: str, content_type: str) -> None:
    with pytest.raises(Problem) as caught:
        await files.put(name, b"x", content_type)
    assert caught.value.code == "unsupported_media_type"


async def test_size_has_a_limit(files: Files) -> None:
    with pytest.raises(Problem) as caught:
        await files.put("a.png", bytes(8_000_001), "image/png")
    assert caught.value.code == "too_large"


async def test_faults_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    files = open_files(Settings(files_url=f"file:{tmp_path / 'plain'}"))
    with pytest.raises(DependencyDown):
        await files.put("a.png", b"x", "image/png")
    assert await files.get("a.png") is None
    await files.delete("a.png")


@pytest.mark.parametrize("url", ["", "files", "file:", "s3:bucket"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(SettingsError, match="MIAOSHA_FILES_URL"):
        open_files(Settings(files_url=url))
