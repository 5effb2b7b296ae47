"""Failure kinds: what went wrong with a socket, as a short kind that can be counted."""

import errno
import re
from typing import Final

from miaosha.trials.rehearsal import client_wire

KINDS_MAX: Final = 50  # told apart
_RETRY = re.compile(rb"(?i)\r\nretry-after: *(\d{1,5})")
_CODE = re.compile(rb'"code":"(\w{1,40})"')


class Failed(Exception):
    """This socket is useless now; the text is the kind. `retry_after_s`: as the server asked."""

    def __init__(self, kind: str, retry_after_s: float = 0.0) -> None:
        super().__init__(kind)
        self.retry_after_s = retry_after_s


def check_upgrade(head: bytes) -> None:
    """Raises Failed unless the response's head opens a WebSocket."""
    status = head[9:12].decode("latin-1")
    if not head.startswith(b"HTTP/1.1 101"):
        found = _RETRY.search(head)
        raise Failed(f"http {status}", float(found[1]) if found else 0.0)
    if client_wire.ACCEPT not in head:
        raise Failed("wrong Sec-WebSocket-Accept")


def of_close(payload: bytes) -> str:
    reason = payload[2:].partition(b";")[0].decode("utf-8", "replace")[:40]
    return f"close {int.from_bytes(payload[:2], 'big')} {reason}".rstrip()


def of_refusal(what: str, packet: bytes) -> Failed:
    found = _CODE.search(packet)
    return Failed(f"{what} refused: {found[1].decode() if found else 'no code'}")


def of_error(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def count(kinds: dict[str, int], kind: str) -> None:
    if kind not in kinds and len(kinds) >= KINDS_MAX:
        kind = "others"
    kinds[kind] = kinds.get(kind, 0) + 1
