"""Rooms: the sessions that hear the same broadcasts. A room is one list of words.

An application keeps its rooms by a key of its own and enters sessions with `add`; a session lists
its rooms in `session.rooms`.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from miaosha.sockets.session import Session

GONE_MIN: Final = 64  # not fewer places of those who left are cleared away at a time


class Room:
    """The sessions that hear one thing. `alone` is the rooms of a session that is only here.

    The order of the list says nothing: every broadcast shuffles it. A session that leaves keeps its
    place, marked in a set, until half of the places are such.

    Args:
        key: the application's own name for the room.
    """

    __slots__ = ("_gone", "_places", "_serving", "alone", "key")

    def __init__(self, key: int) -> None:
        self.key = key
        self.alone = (self,)
        self._places: list[Session] = []
        self._gone: set[Session] = set()
        self._serving = 0  # broadcasts under way, which count places

    def __len__(self) -> int:
        return len(self._places) - len(self._gone)

    def add(self, session: "Session") -> None:
        if session in self._gone:
            self._gone.discard(session)
        else:
            self._places.append(session)

    def remove(self, session: "Session") -> None:
        self._gone.add(session)
        self._clear()

    def in_random_order(self, size: int, dice: Callable[[], float]) -> "Iterator[list[Session]]":
        """Everybody who is here now, once, in slices of at most `size`, as fairly as `dice` (0 to
        1). It may be left alone between two slices; who leaves meanwhile is passed over, who comes
        is not among them. Fisher and Yates's shuffle, in place, as far as it has come."""
        places, end = self._places, len(self._places)
        self._serving += 1
        try:
            for start in range(0, end, size):
                stop = min(start + size, end)
                for i in range(start, stop):
                    j = i + int(dice() * (end - i))
                    places[i], places[j] = places[j], places[i]
                yield [session for session in places[start:stop] if self in session.rooms]
        finally:
            self._serving -= 1
            self._clear()

    def _clear(self) -> None:
        gone = self._gone
        if not self._serving and len(gone) > max(GONE_MIN, len(self._places) // 2):
            self._places = [session for session in self._places if session not in gone]
            gone.clear()
