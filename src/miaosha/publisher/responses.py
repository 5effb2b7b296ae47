"""Responses: built once, a problem per code, and the 202s of a batch.

`Connection: close` and answers to HEAD are rare: they are made from the ordinary bytes.
"""

from typing import Final

from miaosha.domain.errors import CODES
from miaosha.domain.messages import BATCH_USERS_MAX
from miaosha.serving.http_response import problem, response

END: Final = b"\r\n\r\n"
PROBLEMS: Final = {code: problem(code) for code in CODES}
HEALTHY: Final = response(200, b'{"status":"ok"}')


def closing(answer: bytes) -> bytes:
    """The same answer, telling the client that the connection ends after it."""
    return answer.replace(END, b"\r\nConnection: close\r\n\r\n", 1)


def without_body(answer: bytes) -> bytes:
    """The same answer as HEAD gets it."""
    return answer[: answer.index(END) + len(END)]


# The 202 of one request is `prefixes(batch_id)[index] + TAILS[index]`: one concatenation.
TAILS: Final = [b'%d","state":"queued"}' % index for index in range(BATCH_USERS_MAX)]
_DIGITS: Final = [len(b"%d" % index) for index in range(BATCH_USERS_MAX)]


class Accepted:
    """The 202s of one confirmed batch, by index."""

    __slots__ = ("_prefixes",)

    def __init__(self, batch_id: str) -> None:
        start = b'{"request_id":"%s.' % batch_id.encode()
        ordinary = response(202, b"")
        head, tail = ordinary.split(b"Content-Length: 0")
        self._prefixes = [b""] + [
            b"%sContent-Length: %d%s%s"
            % (head, len(start) + digits + len(TAILS[0]) - 1, tail, start)
            for digits in (1, 2, 3)
        ]

    def __getitem__(self, index: int) -> bytes:
        return self._prefixes[_DIGITS[index]] + TAILS[index]
