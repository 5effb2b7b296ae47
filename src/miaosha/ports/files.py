"""Files port: public files such as product pictures."""

from typing import Protocol


class Files(Protocol):
    """Public files such as product pictures, by a relative name."""

    async def put(self, name: str, content: bytes, content_type: str) -> str:
        """Returns the public URL path."""

    async def get(self, name: str) -> bytes | None:
        """The content; None: there is no such file."""

    async def delete(self, name: str) -> None:
        """Nothing if there is no such file."""
