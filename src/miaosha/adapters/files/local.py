"""Local files: public files in a directory that the edge serves under /files/.

The edge tells the type by the name's ending, so the ending must fit the content type. Only kinds
that a browser never runs as a page are taken. A file appears whole or not at all.
"""

import asyncio
import re
from pathlib import Path
from typing import Final

from miaosha.adapters.whole_files import write_whole
from miaosha.domain.errors import DependencyDown, Problem

URL_PATH: Final = "/files/"
FILE_BYTES_MAX: Final = 8_000_000
NAME_MAX: Final = 200
ENDINGS: Final = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/gif": (".gif",),
    "image/avif": (".avif",),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*){0,3}")


class LocalFiles:
    """Implements ports/files.Files. Args: directory: made when missing; readable by the edge."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    async def put(self, name: str, content: bytes, content_type: str) -> str:
        """Replaces a file of that name.

        Raises:
            Problem: bad_request (name), unsupported_media_type, too_large.
            DependencyDown: the directory cannot be written.
        """
        target = self._path(name)
        if not name.lower().endswith(ENDINGS.get(content_type, ())):
            raise Problem("unsupported_media_type", "The type and the name's ending do not fit.")
        if len(content) > FILE_BYTES_MAX:
            raise Problem("too_large", f"A file has at most {FILE_BYTES_MAX} bytes.")
        try:
            await asyncio.to_thread(self._write, target, content)
        except OSError as error:
            raise DependencyDown(f"files directory: {error.strerror}") from error
        return URL_PATH + name

    async def get(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise DependencyDown(f"files directory: {error.strerror}") from error

    async def delete(self, name: str) -> None:
        """Idempotent."""
        path = self._path(name)
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise DependencyDown(f"files directory: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        """Raises Problem("bad_request") for a name that is empty, hidden or climbs out."""
        if len(name) > NAME_MAX or not _NAME.fullmatch(name):
            raise Problem("bad_request", "Not a file name.", field="name")
        return self._directory / name

    def _write(self, target: Path, content: bytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        write_whole(target, content, mode=0o644)
