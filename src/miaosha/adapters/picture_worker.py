"""Picture worker: reads a picture on stdin, writes it anew as WebP to stdout, and ends.

`adapters.pictures` starts one for each picture. Decoders see a stranger's bytes here and nowhere
else, within bounds of memory and processor time that the kernel holds.
"""

import contextlib
import io
import os
import resource
import sys
from typing import Final

import msgspec
import pillow_heif
from PIL import Image, ImageCms, ImageOps

from miaosha.adapters.pictures import NO_PICTURE, TOO_LARGE
from miaosha.domain.picture import WIDTHS
from miaosha.ports.pictures import PICTURE_MAX_BYTES, PIXELS_MAX

MEMORY_MAX: Final = 1_500_000_000  # bytes of address space; 50 million pixels need 600 MB
CPU_MAX_S: Final = 10
FILES_MAX: Final = 64
SIDE_MAX: Final = 32_768  # pixels; a narrow giant costs twice its area
NICE: Final = 15  # a rush goes before a picture
FORMATS: Final = ("JPEG", "PNG", "WEBP", "HEIF")
QUALITY: Final = 82
TALL: Final = 3  # a picture is at most so many times as tall as it is wide, when it is shown


def webps(content: bytes) -> list[bytes]:
    """The picture in each of WIDTHS. Raises OSError, SyntaxError or ValueError if it is damaged,
    SystemExit(TOO_LARGE)."""
    image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > PIXELS_MAX or max(image.size) > SIDE_MAX:
        raise SystemExit(TOO_LARGE)
    image.draft("RGB", (2 * WIDTHS[0], 2 * WIDTHS[0]))  # a JPEG is decoded no larger than needed
    profile = image.info.get("icc_profile")
    image.load()
    with contextlib.suppress(Exception):  # untidy Exif: as it lies
        image = ImageOps.exif_transpose(image)
    image = _eight_bits(image)
    made = []
    for width in WIDTHS:
        image.thumbnail((width, TALL * width), Image.Resampling.LANCZOS, reducing_gap=3.0)
        out = io.BytesIO()
        _srgb(image, profile).save(out, "WEBP", quality=QUALITY)
        made.append(out.getvalue())
    return made


def _eight_bits(image: Image.Image) -> Image.Image:
    """As RGB, or RGBA where something shows through."""
    if image.mode.startswith("I"):  # grey in 16 bits
        image = image.convert("I").point(lambda grey: grey / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A copy in the colours that every screen assumes, without a profile or anything else."""
    clean = Image.frombytes(image.mode, image.size, image.tobytes())
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            ImageCms.profileToProfile(clean, own, srgb, inPlace=True)
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile of another kind of picture: its numbers are taken as they are
        clean.info.clear()
    return clean


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S + 1))  # XCPU, and only then KILL
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))
    os.nice(NICE)
    Image.MAX_IMAGE_PIXELS = None  # PIXELS_MAX is asked here
    pillow_heif.register_heif_opener(thumbnails=False)
    try:
        made = webps(sys.stdin.buffer.read(PICTURE_MAX_BYTES + 1))
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError):
        raise SystemExit(NO_PICTURE) from None
    sys.stdout.buffer.write(msgspec.msgpack.encode(made))


if __name__ == "__main__":
    main()
