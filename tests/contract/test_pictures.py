"""Pictures: what buyers load is upright, of two widths, and tells nothing of where it was taken."""

import asyncio
import io
import signal
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from miaosha.adapters import pictures
from miaosha.adapters.pictures import WorkerPictures
from miaosha.domain.errors import DependencyDown, Overloaded, Problem
from miaosha.domain.picture import WIDTHS
from tests.kit.pictures import BLUE, RED, SECRET, picture, seen

KINDS = ("JPEG", "PNG", "WEBP", "HEIF")


def near(found: object, wanted: tuple[int, int, int]) -> bool:
    assert isinstance(found, tuple)
    return all(abs(a - b) < 25 for a, b in zip(found, wanted, strict=False))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_picture_comes_in_two_widths_and_tells_nothing(kind: str) -> None:
    uploaded = picture(kind, 2_000, 1_000)
    made = await WorkerPictures().made(uploaded)
    assert [seen(content).size for content in made] == [(w, w // 2) for w in WIDTHS]
    for content in made:
        shown = seen(content)
        assert content[8:12] == b"WEBP" and SECRET not in content
        assert not shown.getexif() and "icc_profile" not in shown.info
        assert near(shown.getpixel((9, 9)), RED)
        assert near(shown.getpixel((9, shown.height - 9)), BLUE)
    assert SECRET in uploaded


async def test_a_small_picture_stays_as_small_as_it_is() -> None:
    assert [seen(c).size for c in await WorkerPictures().made(picture("PNG", 40, 30))] == [
        (40, 30),
        (40, 30),
    ]


async def test_a_picture_taken_sideways_is_upright() -> None:
    """6: the camera's right side was up, so red is on the right."""
    shown = seen((await WorkerPictures().made(picture("JPEG", 40, 30, turned=6)))[0])
    assert shown.size == (30, 40)
    assert near(shown.getpixel((25, 20)), RED) and near(shown.getpixel((4, 20)), BLUE)


async def test_what_shows_through_goes_on_showing_through() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (20, 20), (*RED, 0)).save(out, "PNG")
    assert seen((await WorkerPictures().made(out.getvalue()))[0]).getpixel((5, 5))[3] == 0  # type: ignore[index]


async def test_a_profile_that_does_not_fit_is_passed_over() -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    made = await WorkerPictures().made(picture("PNG", icc_profile=linear))
    assert near(seen(made[0]).getpixel((9, 9)), RED)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "LA", "CMYK"])
async def test_every_way_to_store_pixels_is_understood(mode: str) -> None:
    out = io.BytesIO()
    light = 255 if mode == "1" else 200
    if mode == "I;16":
        stored = Image.new(mode, (20, 20), light * 256)
    else:
        stored = Image.new("L", (20, 20), light).convert(mode)
    stored.save(out, "JPEG" if mode == "CMYK" else "PNG")
    [lightest] = {
        seen(made).convert("L").getextrema()[1]
        for made in await WorkerPictures().made(out.getvalue())
    }
    assert isinstance(lightest, int | float) and abs(lightest - light) < 8


def whole_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(width: int, height: int) -> bytes:
    """A PNG whose head promises many pixels."""
    head = whole_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = whole_chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000))
    return b"\x89PNG\r\n\x1a\n" + head + rows + whole_chunk(b"IEND", b"")


NO_PICTURES = {
    "nothing": b"",
    "an animation of another kind": b"GIF89a" + b"\0" * 40,
    "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "a page": b"<html>",
    "half a JPEG": picture("JPEG", 400, 300)[:2_000],
    "half a PNG": picture("PNG", 400, 300)[:200],
    "half a WebP": picture("WEBP", 400, 300)[:150],
    "half a HEIF": picture("HEIF", 400, 300)[:400],
    "pixels that were promised": bomb(3_000, 3_000),
}


@pytest.mark.parametrize("content", NO_PICTURES.values(), ids=NO_PICTURES)
async def test_what_is_no_whole_picture_is_refused(content: bytes) -> None:
    with pytest.raises(Problem) as refused:
        await WorkerPictures().made(content)
    assert refused.value.code == "unsupported_media_type"


async def test_more_pixels_than_any_phone_has_are_refused_undecoded() -> None:
    with pytest.raises(Problem) as refused:
        await WorkerPictures().made(bomb(30_000, 30_000))
    assert refused.value.code == "too_large"


async def test_a_worker_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WITHIN_S", 0.0)
    with pytest.raises(Problem) as refused:
        await WorkerPictures().made(picture("PNG"))
    assert refused.value.code == "unsupported_media_type"


async def test_a_worker_that_needs_too_much_processor_time_has_no_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its own limits, nine seconds lower; then it works without end."""
    (tmp_path / "sitecustomize.py").write_text(
        "import resource\n"
        "real = resource.setrlimit\n"
        "def lower(kind, most):\n"
        "    real(kind, [n - 9 for n in most] if kind == resource.RLIMIT_CPU else most)\n"
        "    while kind == resource.RLIMIT_NOFILE:\n"
        "        pass\n"
        "resource.setrlimit = lower\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Problem) as refused:
        await WorkerPictures().made(picture("PNG"))
    assert refused.value.code == "unsupported_media_type"


@pytest.mark.parametrize("status", [1, -signal.SIGKILL])
async def test_a_worker_that_fails_is_no_damaged_picture(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    async def worked(content: bytes) -> tuple[int, bytes]:
        return status, b""

    monkeypatch.setattr(pictures, "_worked", worked)
    with pytest.raises(DependencyDown):
        await WorkerPictures().made(picture("PNG"))


async def test_more_pictures_than_may_wait_are_refused_and_later_welcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "WAITING_MAX", 2)
    made = WorkerPictures()
    uploads = [made.made(picture("PNG")) for _ in range(3)]
    ended = await asyncio.gather(*uploads, return_exceptions=True)
    assert [type(each) for each in ended].count(Overloaded) == 1
    assert await made.made(picture("PNG"))
