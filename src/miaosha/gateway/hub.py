"""Who is where: the sessions that watch each sale, and those of each user. Ids are interned here.

A million sessions pay for every word: a session in one room shares that room's own tuple, a user
with one socket has no list, and a room is one list of words.
"""

from collections.abc import Iterator, MutableMapping
from typing import Final

from miaosha.sockets.rooms import Room
from miaosha.sockets.session import Session

ROOMS_MAX: Final = 8  # of one session; a further one takes the place of the oldest


class Hub:
    """Rooms of sales and sessions of users in this process.

    Args:
        watching: sockets per sale, kept up to date here; a sale nobody watches is not in it.
        per_user_max: sockets of one user in this process; 0: any number.
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
        if room in session.rooms:
            return
        if len(session.rooms) >= ROOMS_MAX:
            self._take_out(session, session.rooms[0])
            session.rooms = session.rooms[1:]
        room.add(session)
        session.rooms = (*session.rooms, room) if session.rooms else room.alone
        self._watching[sale_id] = len(room)

    def leave(self, session: Session) -> None:
        """Out of every room, and no longer one of its user's sessions."""
        rooms, session.rooms = session.rooms, ()
        for room in rooms:
            self._take_out(session, room)
        self._forget(session)

    def identify(self, session: Session, user_id: int) -> bool:
        """Count a session to a user; False, and nothing done, if the user has too many."""
        most = self._per_user_max
        known = self._users.get(user_id)
        if known is None:
            self._users[user_id] = session
        elif isinstance(known, list):
            if most and len(known) >= most:
                return False
            known.append(session)
        elif most == 1:
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

    def room(self, sale_id: int) -> Room | None:
        """None if nobody watches the sale."""
        return self._rooms.get(sale_id)

    def count(self, sale_id: int) -> int:
        room = self._rooms.get(sale_id)
        return len(room) if room else 0

    def watched(self) -> Iterator[int]:
        """The sales somebody here watches."""
        return iter(tuple(self._rooms))

    def _take_out(self, session: Session, room: Room) -> None:
        room.remove(session)
        if len(room):
            self._watching[room.key] = len(room)
        else:
            self._watching.pop(room.key, None)
            self._rooms.pop(room.key, None)

    def _forget(self, session: Session) -> None:
        user_id, session.user_id = session.user_id, 0
        known = self._users.get(user_id)
        if known is session:
            del self._users[user_id]
        elif isinstance(known, list) and session in known:
            known.remove(session)
            if len(known) == 1:
                self._users[user_id] = known[0]
