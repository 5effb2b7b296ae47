"""File mailer: mail into a directory, one .eml per Message-ID, written whole or not at all.

Sending the same mail again changes nothing.
"""

import asyncio
import hashlib
import re
from pathlib import Path

from miaosha.adapters.mail.message import MessageFormat
from miaosha.adapters.whole_files import write_whole
from miaosha.domain.errors import DependencyDown
from miaosha.ports.mail import Mail


class FileMailer:
    """Args: directory: made when missing."""

    def __init__(self, directory: str, form: MessageFormat) -> None:
        self._directory = Path(directory)
        self._form = form

    async def send(self, mail: Mail) -> None:
        message = self._form.wire(mail)
        try:
            await asyncio.to_thread(self._write, message, file_name(mail.message_id))
        except OSError as error:
            raise DependencyDown(f"mail directory: {error.strerror}") from error

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, message: bytes, name: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self._directory / name
        if not target.exists():
            write_whole(target, message)


def file_name(message_id: str) -> str:
    """A name that stays inside the directory and differs for different ids."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", message_id.strip("<>"))[:120].lstrip(".")
    return f"{plain}-{hashlib.sha256(message_id.encode()).hexdigest()[:8]}.eml"
