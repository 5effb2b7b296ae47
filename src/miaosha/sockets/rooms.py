"""Rooms: the sessions that hear the same broadcasts. A room is one list of words.

A session in one room shares that room's own tuple. A room that is empty is not kept. With a million
sessions every word counts. Rooms know no namespaces: an application that has several puts the
namespace into the key.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from miaosha.sockets.session import Session

Key = TypeVar("Key", bound=Hashable)

GONE_MIN: Final = 64  # places of sessions that left, below which the list is not made anew


class Room(Generic[Key]):
    """The sessions that hear one thing. `alone` is `session.rooms` of a session that is only here.

    The order of the list says nothing: every broadcast shuffles it. A session that leaves keeps its
    place and is marked in a set, until half of the places are marked.

    Args:
        key: the application's own name for the room.
    """

    __slots__ = ("_gone", "_places", "_serving", "alone", "key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.alone = (self,)
        self._places: list[Session] = []
        self._gone: set[Session] = set()
        self._serving = 0  # broadcasts under way, which count places

    def __len__(self) -> int:
        return len(self._places) - len(self._gone)

    def __iter__(self) -> "Iterator[Session]":
        """The sessions that are here now, in any order."""
        return iter([session for session in self._places if session not in self._gone])

    def add(self, session: "Session") -> None:
        if session in self._gone:
            self._gone.discard(session)
        else:
            self._places.append(session)

    def remove(self, session: "Session") -> None:
        self._gone.add(session)
        self._clear()

    def in_random_order(self, size: int, dice: Callable[[], float]) -> "Iterator[list[Session]]":
        """Every session that is here now, once, in slices of at most `size`, in an order as fair as
        `dice` (0 to 1). The caller may wait between two slices: a session that leaves meanwhile is
        left out, one that enters is not added. Fisher and Yates's shuffle, in place."""
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


class Rooms(Generic[Key]):
    """Rooms by the application's own key. The application calls `leave_all` in `disconnected`."""

    def __init__(self) -> None:
        self._rooms: dict[Key, Room[Key]] = {}

    def __iter__(self) -> Iterator[Key]:
        """The keys of all rooms; a room may come or go while the caller iterates."""
        return iter(tuple(self._rooms))

    def get(self, key: Key) -> Room[Key] | None:
        """The room, or None if no session is in it."""
        return self._rooms.get(key)

    def enter(self, session: "Session", key: Key) -> Room[Key]:
        """Put a session into a room; once more changes nothing."""
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(key)
        if room not in session.rooms:
            room.add(session)
            session.rooms = (*session.rooms, room) if session.rooms else room.alone
        return room

    def leave(self, session: "Session", key: Key) -> None:
        """Take a session out of a room, if it is in it."""
        room = self._rooms.get(key)
        if room is not None and room in session.rooms:
            session.rooms = tuple(other for other in session.rooms if other is not room)
            self._take_out(session, room)

    def leave_all(self, session: "Session") -> tuple[Room[Key], ...]:
        """Take a session out of all its rooms, and return them."""
        rooms, session.rooms = session.rooms, ()
        for room in rooms:
            self._take_out(session, room)
        return rooms

    def _take_out(self, session: "Session", room: Room[Key]) -> None:
        room.remove(session)
        if not len(room):
            self._rooms.pop(room.key, None)
