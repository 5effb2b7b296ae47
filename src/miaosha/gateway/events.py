"""SaleEvents: the application on the sockets: who connects, and the events `watch` and `lookup`.

A client that names a sale in its CONNECT (`{token, watch: <sale id>}`) watches it at once. When
hundreds of thousands reconnect together, that saves each a message and a response. `fanout` sends
the events that no client asked for.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from miaosha.domain.errors import Problem
from miaosha.domain.sale import Sale, ask
from miaosha.gateway.hub import Hub, user_of
from miaosha.gateway.lookups import Lookup, Lookups, denial
from miaosha.gateway.sale_views import Sales
from miaosha.ports.clock import Clock
from miaosha.ports.tokens import AccessVerifier, Identity
from miaosha.sockets import packets
from miaosha.sockets.application import ConnectRefused
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.session import Session

NAMESPACE = "/"
_encode = msgspec.json.Encoder().encode


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `watch` and `lookup` take."""

    sale_id: int


class SaleEvents:
    """One namespace, two events from the client. A session's context is its user's id.

    Args:
        question_key: the key that chooses each buyer's question.
        retry_after_s: how long a user with too many sockets is asked to wait.
    """

    def __init__(
        self,
        hub: Hub,
        sales: Sales,
        lookups: Lookups,
        tokens: AccessVerifier,
        clock: Clock,
        *,
        question_key: bytes,
        retry_after_s: int,
    ) -> None:
        self._hub = hub
        self._sales = sales
        self._lookups = lookups
        self._tokens = tokens
        self._clock = clock
        self._question_key = question_key
        self._retry_after_s = retry_after_s

    def connect(self, session: Session, namespace: str, auth: Any) -> Sequence[Outbound]:
        """A valid token makes the session that user's; without a token it is anonymous.

        A `watch` in `auth` returns the event `watched`. Its argument is the same as that of the
        acknowledgement of `watch`, errors included.
        """
        if namespace != NAMESPACE:
            raise ConnectRefused("Invalid namespace", {"code": "not_found"})
        if not auth:
            return ()
        if (token := auth.get("token")) is not None:
            self._identify(session, self._identity(token))
        sale_id = auth.get("watch")
        return () if sale_id is None else (self._watched(session, sale_id),)

    def _identify(self, session: Session, identity: Identity) -> None:
        """Raises ConnectRefused: the user has too many sockets."""
        if not self._hub.identify(session, identity.user_id):
            session.server.count("connects_refused_user")
            raise ConnectRefused(
                "Too many sockets for this account",
                {"code": "rate_limited", "retry_after_s": self._retry_after_s},
            )
        session.expire_at(identity.expires_at_s)

    def _identity(self, token: Any) -> Identity:
        try:
            if not isinstance(token, str):
                raise Problem("unauthorized")
            return self._tokens.verify(token.encode(), self._clock.now_ms() // 1000)
        except (Problem, UnicodeEncodeError):
            raise ConnectRefused(
                "A valid access token is required", {"code": "unauthorized"}
            ) from None

    def event(
        self, session: Session, namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None:
        try:
            match name:
                case "watch":
                    self._watch(session, _target(args), ack_id)
                case "lookup":
                    self._lookup(session, _target(args), ack_id)
                case _:
                    raise Problem("bad_request")
        except Problem as problem:
            if ack_id is not None:
                session.send(packets.ack(ack_id, denial(problem)))

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        """The gateway asks for no acknowledgement; one that comes is ignored."""

    def disconnected(self, session: Session, namespace: str) -> None:
        self._hub.leave(session)
        session.expire_at(0)

    def _watch(self, session: Session, sale_id: int, ack_id: int | None) -> None:
        sale = self._sales.asked(sale_id)
        seen = self._let_watch(session, sale)
        told = packets.event("sale", seen)
        if ack_id is None:
            session.send(told)
        else:
            session.send(packets.ack(ack_id, self._shown(session, sale, seen)), told)

    def _watched(self, session: Session, sale_id: Any) -> Outbound:
        """The event `watched`, for a `watch` in the CONNECT."""
        try:
            if type(sale_id) is not int:
                raise Problem("bad_request", field="watch")
            sale = self._sales.asked(sale_id)
            answer = self._shown(session, sale, self._let_watch(session, sale))
        except Problem as problem:
            answer = denial(problem)
        return packets.event("watched", answer)

    def _let_watch(self, session: Session, sale: Sale) -> bytes:
        """Put the session into the sale's room and return the sale's view, encoded."""
        self._hub.watch(session, sale.id)
        shown = self._sales.view(sale)
        self._sales.note(shown)
        return _encode(shown)

    def _shown(self, session: Session, sale: Sale, seen: bytes) -> bytes:
        """A Watched around an encoded view, which all buyers of a storm share."""
        user_id = user_of(session)
        if not user_id or not sale.questions:
            return b'{"ok":true,"sale":%b}' % seen
        question = ask(sale.question_for(self._question_key, user_id))
        return b'{"ok":true,"sale":%b,"question":%b}' % (seen, _encode(question))

    def _lookup(self, session: Session, sale_id: int, ack_id: int | None) -> None:
        user_id = user_of(session)
        if not user_id:
            raise Problem("unauthorized")
        if ack_id is not None:
            self._lookups.ask(Lookup(session, user_id, sale_id, ack_id))


def _target(args: list[Any]) -> int:
    """Raises Problem("bad_request")."""
    if len(args) != 1:
        raise Problem("bad_request")
    try:
        return msgspec.convert(args[0], Target).sale_id
    except msgspec.ValidationError:
        raise Problem("bad_request", field="sale_id") from None
