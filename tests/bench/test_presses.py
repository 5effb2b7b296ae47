"""Built presses are what the platform takes; a load and its crowd are split without a rest."""

import time

from bench.load import Load, spread
from bench.presses import Presses, Raw, post, shares

from miaosha.adapters.access_tokens import AccessTokens
from miaosha.adapters.keyring import Keyring, generate
from miaosha.domain.sale import Choice, Question
from tests.publisher.world import sale

KEYS = generate()


def presses(count: int) -> Presses:
    questions = [
        Question(i, f"{i}?", [Choice("a", "x"), Choice("b", "y")], "ab"[i]) for i in (0, 1)
    ]
    terms = sale(questions=questions)
    return Presses(terms, KEYS, first_user=98, count=count, issued_s=int(time.time()))


def test_every_press_has_its_buyers_token_and_right_answer() -> None:
    ring = Keyring.parse(KEYS)
    made = presses(40)
    answers = set()
    for user_id, raw in enumerate(made.build(), 98):
        head, _, body = raw.partition(b"\r\n\r\n")
        token = head.rpartition(b"Bearer ")[2]
        assert AccessTokens(ring).verify(token, made.issued_s).user_id == user_id
        assert b"Content-Length: %d\r\n" % len(body) in head
        question = made.sale.question_for(ring.question_key(), user_id)
        assert body == b'{"answer":"%s"}' % question.answer.encode()
        answers.add(body)
    assert len(answers) == 2


def test_a_crowd_is_split_so_that_nobody_is_in_two_shares() -> None:
    first, second = shares(presses(10), 2)
    assert isinstance(first, Presses) and isinstance(second, Presses)
    assert (first.first_user, first.count) == (98, 5)
    assert (second.first_user, second.count) == (103, 5)
    assert [share.build() for share in shares(Raw([b"a", b"b", b"c"]), 2)] == [[b"a", b"c"], [b"b"]]


def test_shares_of_an_open_loop_interleave() -> None:
    loads = spread(Load(targets=("unix:/x",), connections=10, seconds=1, rate_per_s=100), 2)
    assert [load.rate_per_s for load in loads] == [50, 50]
    assert [load.connections for load in loads] == [5, 5]
    assert [load.phase_s for load in loads] == [0.0, 0.01]


def test_a_post_is_framed() -> None:
    raw = post("/x", {"a": 1}, "t.o.k")
    assert raw.startswith(b"POST /x HTTP/1.1\r\nHost: localhost\r\n")
    assert b"Authorization: Bearer t.o.k\r\n" in raw
    assert raw.endswith(b'Content-Length: 7\r\nAuthorization: Bearer t.o.k\r\n\r\n{"a":1}')
