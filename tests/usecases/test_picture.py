"""Pictures by their bytes: kind, size, and nothing in them that nobody should see."""

import struct
import time
from pathlib import Path

import pytest

import miaosha.trials
from miaosha.domain.errors import Problem
from miaosha.usecases.picture import PARTS_MAX, SIDE_MAX, picture_of
from tests.usecases.pictures import SECRET, chunk, exif, jpeg, part, png, segment, vp8, webp

VP8L = part(b"VP8L", b"\x2f" + struct.pack("<I", 2 | 4 << 14))
VP8X = part(b"VP8X", bytes((0x0C,)) + b"\0\0\0" + b"\x09\0\0" + b"\x13\0\0")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(3, 5), ("png", 3, 5)),
        (jpeg(300, 500), ("jpeg", 300, 500)),
        (webp(vp8(3, 5)), ("webp", 3, 5)),
        (webp(VP8L), ("webp", 3, 5)),
        (webp(VP8X, vp8(10, 20)), ("webp", 10, 20)),
    ],
    ids=["png", "jpeg", "lossy webp", "lossless webp", "extended webp"],
)
def test_a_picture_is_what_it_was_but_for_its_metadata(
    content: bytes, told: tuple[str, int, int]
) -> None:
    assert picture_of(content)[:3] == told
    again = picture_of(content).content
    assert picture_of(again).content == again


@pytest.mark.parametrize(
    ("content", "bare"),
    [
        (png(1, 1, chunk(b"tEXt", SECRET), chunk(b"eXIf", SECRET)), png()),
        (png() + SECRET, png()),
        (jpeg(1, 1, exif(1), segment(0xED, SECRET), segment(0xFE, SECRET)), jpeg()),
        (jpeg(1, 1, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET)), jpeg()),
        (jpeg() + SECRET, jpeg()),
        (webp(vp8(3, 5), part(b"EXIF", SECRET), part(b"XMP ", SECRET)), webp(vp8(3, 5))),
        (webp(vp8(3, 5)) + SECRET, webp(vp8(3, 5))),
    ],
    ids=["png", "after a png", "jpeg", "xmp", "after a jpeg", "webp", "after a webp"],
)
def test_nobody_reads_where_it_was_taken(content: bytes, bare: bytes) -> None:
    assert SECRET in content
    assert picture_of(content).content == bare


def test_an_extended_webp_no_longer_promises_metadata() -> None:
    kept = picture_of(webp(VP8X, vp8(10, 20), part(b"EXIF", SECRET))).content
    assert kept == webp(VP8X.replace(b"\x0c", b"\0", 1), vp8(10, 20))


@pytest.mark.parametrize("order", [">", "<"], ids=["big-endian", "little-endian"])
def test_a_picture_taken_sideways_stays_upright(order: str) -> None:
    kept = picture_of(jpeg(1, 1, exif(6, order))).content
    assert SECRET not in kept
    assert kept == picture_of(kept).content, "what is left says the same"
    turned = kept.index(struct.pack(">HHIH", 0x0112, 3, 1, 6))
    assert kept.startswith(b"\xff\xd8\xff\xe1") and turned < 40


def test_colours_stay() -> None:
    colours = (segment(0xE0, b"JFIF\0"), segment(0xE2, b"ICC_PROFILE\0x"), segment(0xEE, b"Adobe"))
    assert picture_of(jpeg(1, 1, *colours)).content == jpeg(1, 1, *colours)


def test_the_sample_is_a_picture() -> None:
    lamp = Path(miaosha.trials.__path__[0], "moon-lamp.jpg").read_bytes()
    kind, width, height, kept = picture_of(lamp)
    assert kind == "jpeg" and width > 100 and height > 100
    assert len(kept) > len(lamp) * 0.9


@pytest.mark.parametrize("content", [png(SIDE_MAX + 1, 1), jpeg(1, SIDE_MAX + 1)])
def test_a_picture_that_would_fill_a_phones_memory_is_refused(content: bytes) -> None:
    with pytest.raises(Problem) as refused:
        picture_of(content)
    assert refused.value.code == "too_large"


def test_what_is_no_whole_picture_is_refused() -> None:
    others = [b"", b"GIF89a", b"<svg/>", b"RIFF\4\0\0\0WAVE", b"<html>", png(0, 1), jpeg(0, 0)]
    cut = [whole[:n] for whole in (png(), jpeg(), webp(vp8(3, 5))) for n in range(len(whole))]
    for content in others + cut:
        with pytest.raises(Problem) as refused:
            picture_of(content)
        assert refused.value.code == "unsupported_media_type", content


MANY = 2_000_000  # bytes
LONG = {
    "markers": b"\xff\xd8" + b"\xff\x01" * (MANY // 2),
    "fill bytes": b"\xff\xd8" + b"\xff" * MANY,
    "empty segments": b"\xff\xd8" + segment(0xC4, b"") * (MANY // 4),
    "empty scans": b"\xff\xd8" + segment(0xDA, b"") * (MANY // 4),
    "a scan of stuffed bytes": b"\xff\xd8" + segment(0xDA, b"") + b"\xff\x00" * (MANY // 2),
    "Exif entries": b"\xff\xd8"
    + segment(0xE1, b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff" + b"\0" * 65_500) * (MANY // 65_600),
    "png chunks": png()[:8] + chunk(b"IDAT", b"") * (MANY // 12),
    "webp chunks": webp(*[part(b"ANMF", b"")] * (MANY // 8)),
}


@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_no_bytes_take_long_to_walk(content: bytes) -> None:
    """In the thread's processor time: at most 30 ms where it was written, 1,000 without bounds."""
    costs = []
    for _ in range(3):
        began = time.thread_time()
        with pytest.raises(Problem):
            picture_of(content)
        costs.append(time.thread_time() - began)
    assert min(costs) < 0.15


@pytest.mark.parametrize("parts", [900, PARTS_MAX - 10])
def test_a_picture_in_many_parts_is_one(parts: int) -> None:
    assert picture_of(jpeg(3, 5, *[segment(0xE2, b"ICC_PROFILE\0x")] * parts)).height == 5
    assert picture_of(png(3, 5, *[chunk(b"IDAT", b"")] * parts)).height == 5
    assert picture_of(webp(vp8(3, 5), *[part(b"ANMF", b"")] * parts)).height == 5
    assert picture_of(b"\xff\xd8" + b"\xff" * 1_000 + jpeg(3, 5)[2:]).height == 5
