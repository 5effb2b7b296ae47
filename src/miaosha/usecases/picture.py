"""What a picture is by its bytes: its kind, its size in pixels, and itself without what it tells of
the camera, the place and the people (Exif, XMP, IPTC, comments) or hides behind its end.

Nothing is decoded. Formats: ISO/IEC 10918-1 (JPEG), W3C PNG, RFC 9649 (WebP), Exif 2.32.
"""

import re
import struct
from typing import Final, NamedTuple

from miaosha.domain.errors import Problem

SIDE_MAX: Final = 4_096  # pixels; decoded, four bytes each: 64 MiB at the most
PARTS_MAX: Final = 4_096  # segments or chunks; encoders make some hundreds of 2 MB
EXIF_ENTRIES_MAX: Final = 256

_STANDALONE: Final = frozenset((0x01, *range(0xD0, 0xD8)))  # JPEG markers without a length
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those that tell the size
_FILL: Final = re.compile(rb"\xff+")  # before a marker, any number
_SCAN_ENDS: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_ORIENTATION: Final = 0x0112
_PNG_KEPT: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs acTL fcTL fdAT".split()
)
_WEBP_KEPT: Final = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF_XMP: Final = 0x08 | 0x04  # bits of VP8X


class Picture(NamedTuple):
    kind: str  # jpeg, png or webp
    width: int
    height: int
    content: bytes  # without metadata


def picture_of(content: bytes) -> Picture:
    """The picture that these bytes are, without its metadata; how a JPEG is to be turned stays.

    It takes up to some 30 ms for 2 MB, hence it belongs in a thread.

    Raises:
        Problem: unsupported_media_type (no JPEG, PNG or WebP, not a whole one, or one of more than
            PARTS_MAX parts), too_large (more than SIDE_MAX pixels a side).
    """
    try:
        picture = _read(content)
    except (IndexError, struct.error):
        picture = None
    if picture is None or not (picture.width and picture.height):
        raise Problem("unsupported_media_type", "A picture is a whole JPEG, PNG or WebP.")
    if max(picture.width, picture.height) > SIDE_MAX:
        raise Problem("too_large", f"A picture has at most {SIDE_MAX} pixels a side.")
    return picture


def _read(content: bytes) -> Picture | None:
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    return None


def _jpeg(content: bytes) -> Picture | None:
    kept, at = [content[:2]], 2
    width = height = 0
    for _ in range(PARTS_MAX):
        filled = _FILL.match(content, at)
        if filled is None:
            return None
        at = filled.end() - 1
        marker = content[at + 1]
        if marker == 0xD9:
            return Picture("jpeg", width, height, b"".join((*kept, b"\xff\xd9")))
        end = at + 2
        if marker not in _STANDALONE:
            end += int(struct.unpack_from(">H", content, end)[0])
        body = content[at + 4 : end]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
        if marker == 0xDA:  # the scan follows its head
            found = _SCAN_ENDS.search(content, end)
            end = found.start() if found else len(content)
        kept.append(_jpeg_segment(marker, body, content[at:end]))
        at = end
    return None


def _jpeg_segment(marker: int, body: bytes, whole: bytes) -> bytes:
    """The segment, or what is left of it."""
    match marker:
        case 0xE1 if body.startswith(b"Exif\0\0"):
            turn = _orientation(body[6:])
            return b"" if turn == 1 else _exif(turn)
        case 0xE0 | 0xEE:  # JFIF; Adobe's colours
            return whole
        case 0xE2 if body.startswith(b"ICC_PROFILE\0"):
            return whole
        case _ if 0xE0 <= marker <= 0xEF or marker == 0xFE:
            return b""
        case _:
            return whole


def _orientation(tiff: bytes) -> int:
    """1 to 8 as Exif has it; 1 (upright) if it says nothing sensible."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * min(entries, EXIF_ENTRIES_MAX), 12):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, at)
            if (tag, kind, count) == (_ORIENTATION, 3, 1) and 1 <= value <= 8:
                return int(value)
    except struct.error:
        return 1
    return 1


def _exif(turn: int) -> bytes:
    """A segment that says how the picture is to be turned, and nothing else."""
    entry = struct.pack(">HHIHH", _ORIENTATION, 3, 1, turn, 0)
    body = b"Exif\0\0MM\0\x2a" + struct.pack(">IH", 8, 1) + entry + b"\0\0\0\0"
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _png(content: bytes) -> Picture | None:
    kept, at, size = [content[:8]], 8, (0, 0)
    for _ in range(PARTS_MAX):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if end > len(content):
            return None
        if kind == b"IHDR":
            size = struct.unpack_from(">II", content, at + 8)
        if kind in _PNG_KEPT:
            kept.append(content[at:end])
        if kind == b"IEND":
            return Picture("png", *size, b"".join(kept))
        at = end
    return None


def _webp(content: bytes) -> Picture | None:
    (told,) = struct.unpack_from("<I", content, 4)
    if told + 8 > len(content):
        return None
    kept: list[bytes] = []
    at, size = 12, None
    for _ in range(PARTS_MAX):
        if at + 8 > told + 8:
            break
        kind, length = struct.unpack_from("<4sI", content, at)
        end = at + 8 + length + length % 2
        body = content[at + 8 : at + 8 + length]
        if size is None:
            size = _webp_size(kind, body)
        if kind == b"VP8X":
            body = bytes([body[0] & ~_WEBP_EXIF_XMP]) + body[1:]
        if kind in _WEBP_KEPT:
            kept.append(struct.pack("<4sI", kind, length) + body + b"\0" * (length % 2))
        at = end
    if size is None or at != told + 8:
        return None
    chunks = b"".join(kept)
    return Picture("webp", *size, b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    match kind:
        case b"VP8X":
            low, high, low_2, high_2 = struct.unpack_from("<HBHB", body, 4)
            return (high << 16 | low) + 1, (high_2 << 16 | low_2) + 1
        case b"VP8 " if body[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", body, 6)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if body[:1] == b"\x2f":
            (bits,) = struct.unpack_from("<I", body, 1)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            return None
