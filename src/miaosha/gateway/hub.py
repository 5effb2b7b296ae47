"""Who is where: the sessions that watch each sale, and those of each user. Ids are interned here.

A million sessions pay for every word: a session in one room shares that room's own tuple, and a
user with one socket has no list.
"""

from collections.abc import Iterator, MutableMapping
from typing import Final

from miaosha.gateway.session import Session

ROOMS_MAX: Final = 8  # of one session; a further one takes the place of the oldest


class Room:
    """The sessions that watch one sale. `alone` is the rooms of a session that is only here."""

    __slots__ = ("alone", "members", "sale_id")

    def __init__(self, sale_id: int) -> None:
        self.sale_id = sale_id
        self.members: set[Session] = set()
        self.alone = (self,)


class Hub:
    """Rooms of sales and sessions of users in this process.

    Args:
        watching: sockets per sale, kept up to date here; a sale nobody watches is not in it.
        per_user_max: sockets of one user in this process.
    """

    def __init__(self, watching: MutableMapping[int, int], per_user_max: int) -> None:
        self._watching = watching
        self._per_user_max = per_user_max
        self._rooms: dict[int, Room] = {}
        self._users: dict[int, Session | list[Session]] = {}

    def watch(self, session: Session, sale_id: int) -> None:
        """Put a session into the room of a sale; once more changes nothing."""
        room = self._rooms.get(sale_id)
        if room is None:
            room = self._rooms[sale_id] = Room(sale_id)
        if session in room.members:
            return
        if len(session.rooms) >= ROOMS_MAX:
            self._take_out(session, session.rooms[0])
            session.rooms = session.rooms[1:]
        room.members.add(session)
        session.rooms = (*session.rooms, room) if session.rooms else room.alone
        self._watching[sale_id] = len(room.members)

    def leave(self, session: Session) -> None:
        """Out of every room, and no longer one of its user's sessions."""
        rooms, session.rooms = session.rooms, ()
        for room in rooms:
            self._take_out(session, room)
        self._forget(session)

    def identify(self, session: Session, user_id: int) -> bool:
        """Count a session to a user; False, and nothing done, if the user has too many."""
        known = self._users.get(user_id)
        if known is None:
            self._users[user_id] = session
        elif isinstance(known, list):
            if len(known) >= self._per_user_max:
                return False
            known.append(session)
        elif self._per_user_max < 2:
            return False
        else:
            self._users[user_id] = [known, session]
        session.user_id = user_id
        return True

    def of_user(self, user_id: int) -> tuple[Session, ...]:
        known = self._users.get(user_id)
        if known is None:
            return ()
        return tuple(known) if isinstance(known, list) else (known,)

    def watchers(self, sale_id: int) -> list[Session]:
        """A copy, as the room may change while it is being served."""
        room = self._rooms.get(sale_id)
        return list(room.members) if room else []

    def count(self, sale_id: int) -> int:
        room = self._rooms.get(sale_id)
        return len(room.members) if room else 0

    def watched(self) -> Iterator[int]:
        """The sales somebody here watches."""
        return iter(tuple(self._rooms))

    def _take_out(self, session: Session, room: Room) -> None:
        room.members.discard(session)
        if room.members:
            self._watching[room.sale_id] = len(room.members)
        else:
            self._watching.pop(room.sale_id, None)
            self._rooms.pop(room.sale_id, None)

    def _forget(self, session: Session) -> None:
        user_id, session.user_id = session.user_id, 0
        known = self._users.get(user_id)
        if known is session:
            del self._users[user_id]
        elif isinstance(known, list) and session in known:
            known.remove(session)
            if len(known) == 1:
                self._users[user_id] = known[0]
