"""Hub: the sessions that watch each sale, and those of each user.

A million sessions pay for every word: the user's id is the session's whole `context`, and a user
with one socket has no list.
"""

from collections.abc import Iterator, MutableMapping
from typing import Final

from miaosha.sockets.rooms import Room, Rooms
from miaosha.sockets.session import Session

ROOMS_MAX: Final = 8  # of one session; a further one takes the place of the oldest


def user_of(session: Session) -> int:
    """The user whose socket this is; 0 for an anonymous visitor."""
    return session.context or 0


class Hub:
    """Rooms of sales and sessions of users in this process.

    Args:
        watching: sockets per sale, kept up to date here; a sale nobody watches is not in it.
        per_user_max: sockets of one user in this process; 0: any number.
    """

    def __init__(self, watching: MutableMapping[int, int], per_user_max: int) -> None:
        self._watching = watching
        self._per_user_max = per_user_max
        self._rooms: Rooms[int] = Rooms()  # by sale id
        self._users: dict[int, Session | list[Session]] = {}

    def watch(self, session: Session, sale_id: int) -> None:
        """Put a session into the room of a sale; once more changes nothing."""
        self._count(self._rooms.enter(session, sale_id))
        if len(session.rooms) > ROOMS_MAX:
            oldest = session.rooms[0]
            self._rooms.leave(session, oldest.key)
            self._count(oldest)

    def leave(self, session: Session) -> None:
        """Take a session out of every room and from its user."""
        for room in self._rooms.leave_all(session):
            self._count(room)
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
        session.context = user_id
        return True

    def of_user(self, user_id: int) -> tuple[Session, ...]:
        """The sessions of a user in this process."""
        known = self._users.get(user_id)
        if known is None:
            return ()
        return tuple(known) if isinstance(known, list) else (known,)

    def room(self, sale_id: int) -> Room[int] | None:
        """The room of a sale; None if nobody watches it."""
        return self._rooms.get(sale_id)

    def count(self, sale_id: int) -> int:
        """How many sessions watch a sale."""
        room = self._rooms.get(sale_id)
        return len(room) if room else 0

    def watched(self) -> Iterator[int]:
        """The sales that somebody here watches."""
        return iter(self._rooms)

    def _count(self, room: Room[int]) -> None:
        if len(room):
            self._watching[room.key] = len(room)
        else:
            self._watching.pop(room.key, None)

    def _forget(self, session: Session) -> None:
        user_id, session.context = user_of(session), None
        known = self._users.get(user_id)
        if known is session:
            del self._users[user_id]
        elif isinstance(known, list) and session in known:
            known.remove(session)
            if len(known) == 1:
                self._users[user_id] = known[0]
