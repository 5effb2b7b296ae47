"""Port of pictures: what a merchant uploads becomes what buyers' browsers load."""

from typing import Final, Protocol

PICTURE_MAX_BYTES: Final = 12_000_000  # of an upload
PIXELS_MAX: Final = 50_000_000  # of an upload, decoded; phones of today take 48 million


class Pictures(Protocol):
    async def made(self, content: bytes) -> list[bytes]:
        """The picture as a WebP of each of `domain.picture.WIDTHS`, upright, in sRGB, and without
        what it told of camera, place and people. Of an animation the first frame.

        Args:
            content: a whole JPEG, PNG, WebP or HEIF of at most PICTURE_MAX_BYTES; its bytes say
                which.

        Raises:
            Problem: unsupported_media_type (none of these, or damaged), too_large (more than
                PIXELS_MAX).
            Overloaded: too many wait already.
        """
