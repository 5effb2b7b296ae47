"""Presses: purchase requests as bytes, with tokens of buyers, made before the clock runs.

Tokens are minted here by hand, because a million are needed. A test checks them with the
platform's own verifier.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from miaosha.adapters.access_tokens import ACCESS, header_segment
from miaosha.adapters.keyring import Keyring
from miaosha.domain.sale import Sale
from miaosha.trials.rehearsal.token_mint import mint

HEAD: Final = (
    b"POST /api/v1/sales/%d/purchases HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nAuthorization: Bearer "
)


class Presses(msgspec.Struct, frozen=True, tag="presses"):
    """Presses of `count` buyers, ids from `first_user`, each with the right answer.

    Attributes:
        secret_keys: the platform's setting of that name.
        issued_s: Unix seconds.
        repeats: how often the whole crowd presses.
    """

    sale: Sale
    secret_keys: str
    first_user: int
    count: int
    issued_s: int
    repeats: int = 1

    def build(self) -> Sequence[bytes]:
        ring = Keyring.parse(self.secret_keys)
        key, header = ring.derived(ACCESS)[ring.signing_kid], header_segment(ring.signing_kid)
        question_key = ring.question_key()
        bodies = {
            question.id: msgspec.json.encode({"answer": question.answer})
            for question in self.sale.questions
        }
        built = []
        for user_id in range(self.first_user, self.first_user + self.count):
            body = bodies[self.sale.question_for(question_key, user_id).id]
            token = mint(key, header, user_id, self.issued_s)
            built.append(HEAD % (self.sale.id, len(body)) + token + b"\r\n\r\n" + body)
        return built * self.repeats


class Raw(msgspec.Struct, frozen=True, tag="raw"):
    """Requests as they are."""

    requests: list[bytes]

    def build(self) -> Sequence[bytes]:
        return self.requests


Source = Presses | Raw


def post(path: str, body: object, token: str = "") -> bytes:
    """A POST with a JSON body."""
    content = msgspec.json.encode(body)
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n{authorization}\r\n"
    )
    return head.encode() + content


def shares(source: Source, processes: int) -> Sequence[Source]:
    """The requests split over so many processes; nobody is in two of them."""
    if isinstance(source, Raw):
        return [Raw(source.requests[i::processes]) for i in range(processes)]
    each = source.count // processes
    return [
        msgspec.structs.replace(source, first_user=source.first_user + i * each, count=each)
        for i in range(processes)
    ]
