"""HTTP answers: as the generator reads them: where one ends, what it says, whether that is allowed.

Heads are few and come a million times, so each is parsed once and remembered by its bytes.
"""

import re
from typing import Final, NamedTuple

import msgspec

HEADS_MAX: Final = 4_096  # remembered at a time; a Date header makes a new one every second
CODES_MAX: Final = 4_096
END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_ACCEPTED: Final = re.compile(
    rb'\{"request_id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]{1,3})","state":"queued"\}'
)


class Head(NamedTuple):
    """What the first lines of an answer say: `length` bytes of body follow."""

    status: int
    length: int
    closes: bool


class Garbled(Exception):
    """Bytes that are no answer."""


class Heads:
    """Parses heads, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, raw: bytes) -> Head:
        """Raises Garbled. `raw` ends before the empty line."""
        head = self._known.get(raw)
        if head is None:
            if len(self._known) >= HEADS_MAX:
                self._known.clear()
            head = self._known[raw] = _parsed(raw)
        return head


def _parsed(raw: bytes) -> Head:
    first, *lines = raw.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise Garbled(first[:60].decode("ascii", "replace"))
    fields = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    length = fields.get(b"content-length", b"")
    if not length.isdigit():
        raise Garbled("no content-length")
    return Head(int(status[1]), int(length), fields.get(b"connection") == b"close")


class Codes:
    """The `code` of a problem's body, each body read once."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def read(self, body: bytes) -> str:
        code = self._known.get(body)
        if code is None:
            if len(self._known) >= CODES_MAX:
                self._known.clear()
            code = self._known[body] = _code(body)
        return code


def _code(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "no_code"
    code = found.get("code") if isinstance(found, dict) else None
    return code if isinstance(code, str) else "no_code"


def request_id(body: bytes) -> bytes | None:
    """The request's id, if this is the body of a 202; None if it is anything else."""
    found = _ACCEPTED.fullmatch(body)
    return found[1] if found else None


def later(request_id: bytes, than: bytes) -> bool:
    """Was this request taken after that one? Ids of one publisher sort by batch, then by index."""
    if request_id[:36] != than[:36]:
        return request_id[:36] > than[:36]
    return int(request_id[37:]) > int(than[37:])
