"""The wheel that looks at every connection."""

from miaosha.publisher.limits import Wheel


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
