"""Small private files that a later start relies on: there as a whole, or not at all.

Whoever dies in the middle of writing leaves the old one, or none; half a file would be read as a
key that is empty, or as a cluster that was never formed, whose data may go.
"""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` (0600), in one step. Raises OSError."""
    _written(path, content).replace(path)


def first_text(path: Path, made_up: str) -> str:
    """The text of `path`, which is `made_up` (0600) if there was none, whoever is first. Raises
    OSError."""
    if not path.exists():
        new = _written(path, f"{made_up}\n".encode())
        try:
            os.link(new, path)
        except FileExistsError:
            pass  # another was quicker: it counts
        finally:
            new.unlink()
    return path.read_text("utf-8").strip()


def _written(path: Path, content: bytes) -> Path:
    """A file beside `path` that the disk has."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError:  # the disk is full
        Path(name).unlink()
        raise
    return Path(name)
