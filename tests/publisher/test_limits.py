"""The rate per user against a plain token bucket, and the wheel."""

from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.publisher.limits import Rate, Wheel


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
def test_rate_is_a_token_bucket(per_s: int, burst: int, steps: list[tuple[int, int]]) -> None:
    rate = Rate(per_s, burst)
    buckets = {user: Bucket(per_s, burst) for user in range(4)}
    now_ms = 1_000_000
    for user, ms in steps:
        now_ms += ms
        spent = rate.spent(user, now_ms)
        allowed = rate.allow(user, now_ms)
        assert spent is not allowed
        assert allowed == buckets[user].allow(now_ms)


def test_rate_forgets() -> None:
    rate = Rate(5, 10)
    for second in range(10):
        for user in range(1_000):
            rate.allow(second * 1_000 + user, second * 2_000)
    assert len(rate._users) + len(rate._older) <= 2_000


def test_rate_is_bounded_in_users() -> None:
    rate = Rate(5, 10, users_max=100)
    for user in range(10_000):
        assert rate.allow(user, 1)
    assert len(rate._users) + len(rate._older) <= 100


class Member:
    def __init__(self) -> None:
        self.looked: list[int] = []

    def look(self, now: int) -> None:
        self.looked.append(now)


def test_wheel_looks_at_everyone_once_a_turn() -> None:
    wheel: Wheel[Member] = Wheel(4)
    members = [Member() for _ in range(10)]
    slots = [wheel.add(member) for member in members]
    for _ in range(8):
        wheel.tick()
    assert [len(member.looked) for member in members] == [2] * 10
    assert all(second - first == 4 for first, second in (m.looked for m in members))
    wheel.remove(members[0], slots[0])
    wheel.remove(members[0], slots[0])  # twice does no harm
    for _ in range(4):
        wheel.tick()
    assert [len(member.looked) for member in members] == [2] + [3] * 9
    assert set(wheel.members()) == set(members[1:])
