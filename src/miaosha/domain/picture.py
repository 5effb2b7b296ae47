"""Picture: how many widths of a product's picture there are, and what their files are called."""

from typing import Final

WIDTHS: Final = (1_600, 640)  # pixels: a desktop's, and a phone's; a narrower original stays so
FOLDER: Final = "pictures/"


def file_names(product_id: int, digest: str) -> tuple[str, str]:
    """The names of the wide and of the narrow file, from a digest of the wide one's content."""
    stem = f"{FOLDER}{product_id}-{digest}"
    return f"{stem}.webp", f"{stem}-{WIDTHS[1]}.webp"


def small_url(url: str) -> str:
    """The URL of the narrow file beside `url`; `url` itself if there is none, or it is empty.

    Before pictures were made in two widths they lay in another folder, each in one file.
    """
    if f"/{FOLDER}" not in url:
        return url
    return f"{url.removesuffix('.webp')}-{WIDTHS[1]}.webp"
