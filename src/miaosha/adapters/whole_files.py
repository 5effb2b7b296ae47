"""Whole files: written so that a file is there as a whole, or not at all.

A process that dies in the middle of writing leaves the old file, or none. Half a file would be read
as a key that is empty, or as a cluster that was never formed, whose data may go.
"""

import os
from pathlib import Path
from uuid import uuid4

PRIVATE = 0o600


def write_whole(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replace `path`, in one step, once the disk has the content. Raises OSError."""
    new = _written(path, content, mode)
    try:
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def first_text(path: Path, made_up: str) -> str:
    """The text of `path`; the first caller writes `made_up` (0600). Raises OSError."""
    if not path.exists():
        new = _written(path, f"{made_up}\n".encode(), PRIVATE)
        try:
            os.link(new, path)
        except FileExistsError:
            pass  # another was quicker: it counts
        finally:
            new.unlink()
    return path.read_text("utf-8").strip()


def _written(path: Path, content: bytes, mode: int) -> Path:
    """A hidden file beside `path` that the disk has."""
    new = path.with_name(f".{uuid4().hex}.part")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError:  # the disk is full
        new.unlink()
        raise
    return new
