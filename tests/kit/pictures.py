"""Pictures as cameras and phones make them: of any kind, with a place in them, held sideways."""

import io
from typing import Any

import pillow_heif
from PIL import Image

SECRET = b"taken at 25.0330 N, 121.5654 E"
RED, BLUE = (200, 30, 30), (30, 30, 200)
pillow_heif.register_heif_opener()


def picture(kind: str, width: int = 40, height: int = 30, **options: Any) -> bytes:
    """Red above blue, with SECRET in its Exif. `options` are the encoder's."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (0, height // 2, width, height))
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()  # ImageDescription
    if turned := options.pop("turned", 0):
        exif[0x0112] = turned  # Orientation
    out = io.BytesIO()
    image.save(out, kind, exif=exif.tobytes(), **options)
    return out.getvalue()


def seen(content: bytes) -> Image.Image:
    """The decoded picture."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
