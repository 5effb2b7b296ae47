"""Token buckets against their plain definition, and what is remembered of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.serving.buckets import Buckets, full_at


class Bucket:
    """A token bucket in the words of its definition."""

    def __init__(self, per_s: int, burst: int) -> None:
        self.per_s, self.burst = per_s, burst
        self.tokens = float(burst)
        self.at_ms = 0

    def allow(self, now_ms: int) -> bool:
        refill = (now_ms - self.at_ms) * self.per_s / 1000
        self.tokens = min(self.burst, self.tokens + refill)
        self.at_ms = now_ms
        if self.tokens < 1 - 1e-9:
            return False
        self.tokens -= 1
        return True


@settings(max_examples=200, deadline=None)
@given(
    per_s=st.sampled_from([1, 2, 4, 5, 8, 10]),  # whole ms per token: no dispute about rounding
    burst=st.integers(1, 12),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 900)), max_size=80),
)
def test_each_key_has_a_token_bucket(per_s: int, burst: int, steps: list[tuple[int, int]]) -> None:
    made: Buckets[int] = Buckets(1000 / per_s, burst)
    buckets = {user: Bucket(per_s, burst) for user in range(4)}
    now_ms = 1_000_000
    for user, ms in steps:
        now_ms += ms
        wait_ms = made.wait(user, now_ms)
        assert made.is_empty(user, now_ms) is (wait_ms > 0)
        allowed = made.take(user, now_ms)
        assert allowed is (wait_ms == 0)
        assert allowed == buckets[user].allow(now_ms)


@settings(max_examples=50, deadline=None)
@given(burst=st.integers(1, 12), steps=st.lists(st.integers(0, 900), max_size=80))
def test_a_single_bucket_is_one_too(burst: int, steps: list[int]) -> None:
    plain, at, now_ms = Bucket(5, burst), 0.0, 1_000_000
    for ms in steps:
        now_ms += ms
        after = full_at(at, now_ms, 200, burst * 200)
        assert (after is not None) is plain.allow(now_ms)
        at = after or at


def test_what_is_given_back_may_be_taken_again() -> None:
    made: Buckets[str] = Buckets(10.0, 2)
    assert [made.take("a", 100.0) for _ in range(3)] == [True, True, False]
    made.give_back("a")
    made.give_back("nobody")
    assert [made.take("a", 100.0) for _ in range(2)] == [True, False]
    assert made.wait("a", 100.0) == pytest.approx(10.0) and made.wait("b", 100.0) == 0


def test_buckets_that_are_full_are_forgotten() -> None:
    made: Buckets[int] = Buckets(200, 10)
    for second in range(10):
        for user in range(1_000):
            made.take(second * 1_000 + user, second * 2_000)
    assert len(made) <= 2_000


def test_buckets_are_bounded_in_number() -> None:
    made: Buckets[int] = Buckets(200, 10, keys_max=100)
    for user in range(10_000):
        assert made.take(user, 1)
    assert len(made) <= 100
