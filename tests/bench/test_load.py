"""The generator counts what a server really did, and charges a stall to whoever would have come."""

import time
from itertools import count
from pathlib import Path

from bench.load import Generator, Load
from bench.tally import Tally, milliseconds, together

from tests.bench.faulty import BATCH, Behaviour, accepted, answer, serving

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
EIGHT = [REQUEST] * 8
NAMES = count()


def drive(
    run_dir: Path, behaviour: Behaviour, requests: list[bytes] = EIGHT, **load: object
) -> Tally:
    with serving(run_dir / f"{next(NAMES)}.sock", behaviour) as target:
        wanted = {"connections": 1, "seconds": 2.0, "grace_s": 0.5, **load}
        generator = Generator(Load(targets=(target,), **wanted), requests)  # type: ignore[arg-type]
        generator.connect()
        return together([generator.run(time.monotonic())])


def only(tally: Tally) -> dict[str, int]:
    """Errors, apart from the tests' few requests having run out."""
    return {kind: n for kind, n in tally.errors.items() if kind != "exhausted"}


def test_an_honest_server_is_counted_exactly(run_dir: Path) -> None:
    tally = drive(run_dir, accepted, requests=[REQUEST] * 40, connections=4, ordered=False)
    assert only(tally) == {}
    assert tally.sent == 40
    assert tally.by_status() == {202: 40}
    assert len(set(tally.rids.split())) == 40
    assert len(tally.latency_array()) == 40


def test_running_out_of_requests_is_said(run_dir: Path) -> None:
    assert drive(run_dir, accepted).errors == {"exhausted": 1}


def test_refusals_count_as_what_they_are(run_dir: Path) -> None:
    tally = drive(run_dir, lambda n: accepted(n) if n % 2 else answer(503))
    assert tally.by_status() == {202: 4, 503: 4}
    assert tally.codes == {"overloaded": 4}
    assert only(tally) == {"unexpected_503": 4}
    calm = drive(run_dir, lambda n: answer(503), expected=(503,))
    assert only(calm) == {}


def test_a_lie_about_the_status_is_noticed(run_dir: Path) -> None:
    """202 with something else than an accepted request in it."""
    tally = drive(run_dir, lambda n: answer(202, '{"state":"queued"}'))
    assert only(tally) == {"bad_202": 8}


def test_an_id_given_twice_is_noticed(run_dir: Path) -> None:
    tally = drive(run_dir, lambda n: accepted(n // 2), ordered=False)
    assert only(tally) == {"request_id_twice": 4}


def test_an_id_given_twice_by_two_processes_is_noticed() -> None:
    rids = f"{BATCH % 1}.0\n".encode()
    assert together([Tally(rids=rids), Tally(rids=rids)]).errors == {"request_id_twice": 1}


def test_a_dropped_request_is_noticed_and_the_load_goes_on(run_dir: Path) -> None:
    tally = drive(run_dir, lambda n: None if n == 2 else accepted(n))
    assert only(tally) == {"lost": 1}
    assert tally.by_status() == {202: 7}


def test_a_request_never_answered_is_noticed(run_dir: Path) -> None:
    tally = drive(run_dir, lambda n: b"" if n == 7 else accepted(n))
    assert only(tally) == {"unanswered": 1}
    assert tally.by_status() == {202: 7}


def test_answers_out_of_order_are_noticed(run_dir: Path) -> None:
    """Four requests at a time on one connection, answered as 1 0 3 2 …"""
    tally = drive(run_dir, lambda n: accepted(n ^ 1), depth=4)
    assert only(tally) == {"out_of_order": 4}
    indices = drive(run_dir, lambda n: accepted(1, 9 - n))
    assert only(indices) == {"out_of_order": 7}


def test_one_answer_too_many_is_noticed(run_dir: Path) -> None:
    tally = drive(run_dir, lambda n: accepted(n) + (accepted(99) if n == 7 else b""))
    assert only(tally) == {"unasked": 1}


def test_garbage_and_answers_in_pieces(run_dir: Path) -> None:
    tally = drive(run_dir, lambda n: b"HTTP/9 what\r\n\r\n" if n == 3 else accepted(n))
    assert only(tally) == {"garbled": 1}
    cut = 20

    def halves(n: int) -> bytes:  # each answer's end comes with the next one's beginning
        return (accepted(n - 1)[cut:] if n else b"") + accepted(n)[:cut]

    pieces = drive(run_dir, halves, depth=8)
    assert pieces.by_status() == {202: 7}
    assert only(pieces) == {"unanswered": 1}


def test_a_closing_server_is_connected_to_again(run_dir: Path) -> None:
    closing = accepted(0).replace(b"X\r\n", b"X\r\nConnection: close\r\n")
    tally = drive(run_dir, lambda n: closing.replace(b"000000.0", b"%06d.0" % n))
    assert only(tally) == {}
    assert tally.by_status() == {202: 8}


def test_a_delay_is_measured(run_dir: Path) -> None:
    def slow(n: int) -> bytes:
        time.sleep(0.02)
        return accepted(n)

    tally = drive(run_dir, slow)
    assert min(tally.latency_array()) >= 0.02


def test_a_stall_is_charged_to_everybody_who_would_have_come(run_dir: Path) -> None:
    """100 requests/s are due on one connection for two seconds, and the server stalls for one.
    A generator that waited for the answer before it counted on would see one slow request; half of
    the requests were due during the stall, and half of these waited half a second or longer."""

    def stall(n: int) -> bytes:
        if n == 50:
            time.sleep(1.0)
        return accepted(n)

    tally = drive(
        run_dir, stall, requests=[REQUEST] * 200, rate_per_s=100, seconds=2.0, grace_s=3.0
    )
    assert tally.errors == {}
    ordered = sorted(tally.latency_array())
    assert len(ordered) == 200
    assert ordered[-1] >= 0.9
    assert sum(latency >= 0.05 for latency in ordered) >= 90
    assert sum(latency >= 0.5 for latency in ordered) >= 40
    assert milliseconds(ordered)["p99"] >= 900


def test_an_open_loop_keeps_its_rate_and_says_what_it_could_not_send(run_dir: Path) -> None:
    tally = drive(run_dir, accepted, requests=[REQUEST] * 100, rate_per_s=200, seconds=0.5)
    assert tally.errors == {}
    assert tally.sent == 100
    stuck = drive(run_dir, lambda n: b"", rate_per_s=200, seconds=0.1, grace_s=0.1)
    assert stuck.errors == {"unanswered": 1, "unsent": 19}
