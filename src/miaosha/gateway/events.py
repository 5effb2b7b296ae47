"""The sale on top of the sockets: who connects, and what a client may ask (`watch`, `lookup`).

Whoever names a sale in the CONNECT (`{token, watch: <sale id>}`) watches it without asking: when
hundreds of thousands come back at once, that is a message and an answer less for each. Events that
nobody asked for are sent by `fanout`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from miaosha.domain.errors import Problem
from miaosha.domain.sale import Sale, ask
from miaosha.gateway.board import Sales
from miaosha.gateway.hub import Hub
from miaosha.gateway.lookups import Lookup, Lookups, denial
from miaosha.ports.clock import Clock
from miaosha.ports.tokens import Identity
from miaosha.sockets import packets
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.server import ConnectRefused
from miaosha.sockets.session import Session

NAMESPACE = "/"
_encode = msgspec.json.Encoder().encode


class Verifier(Protocol):
    def verify(self, token: bytes, now_s: int) -> Identity:
        """Raises Problem("unauthorized")."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `watch` and `lookup` take."""

    sale_id: int


class SaleEvents:
    """The application of DESIGN's gateway: one namespace, two events from the client.

    Args:
        question_key: the key that chooses each buyer's question.
        retry_after_s: what a user with too many sockets is told to wait.
    """

    def __init__(
        self,
        hub: Hub,
        sales: Sales,
        lookups: Lookups,
        tokens: Verifier,
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
        """A valid token makes it that user's socket; none, an anonymous one. `watch` is answered by
        the event `watched`, with what `watch` would be acknowledged with, a no included."""
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
        session.expires_at_s = identity.expires_at_s
        session.watch_expiry()

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
        """We ask for no acknowledgements; one that comes anyway says nothing."""

    def disconnected(self, session: Session, namespace: str) -> None:
        self._hub.leave(session)
        session.expires_at_s = 0

    def _watch(self, session: Session, sale_id: int, ack_id: int | None) -> None:
        sale = self._sales.asked(sale_id)
        seen = self._let_watch(session, sale)
        told = packets.event("sale", seen)
        if ack_id is None:
            session.send(told)
        else:
            session.send(packets.ack(ack_id, self._shown(session, sale, seen)), told)

    def _watched(self, session: Session, sale_id: Any) -> Outbound:
        """The event that answers a `watch` in the CONNECT."""
        try:
            if type(sale_id) is not int:
                raise Problem("bad_request", field="watch")
            sale = self._sales.asked(sale_id)
            answer = self._shown(session, sale, self._let_watch(session, sale))
        except Problem as problem:
            answer = denial(problem)
        return packets.event("watched", answer)

    def _let_watch(self, session: Session, sale: Sale) -> bytes:
        """Into the room of the sale; its view now, encoded."""
        self._hub.watch(session, sale.id)
        shown = self._sales.view(sale)
        self._sales.note(shown)
        return _encode(shown)

    def _shown(self, session: Session, sale: Sale, seen: bytes) -> bytes:
        """A Watched around a view that is encoded already: every buyer of a storm asks for it."""
        if not session.user_id or not sale.questions:
            return b'{"ok":true,"sale":%b}' % seen
        question = ask(sale.question_for(self._question_key, session.user_id))
        return b'{"ok":true,"sale":%b,"question":%b}' % (seen, _encode(question))

    def _lookup(self, session: Session, sale_id: int, ack_id: int | None) -> None:
        if not session.user_id:
            raise Problem("unauthorized")
        if ack_id is not None:
            self._lookups.ask(Lookup(session, session.user_id, sale_id, ack_id))


def _target(args: list[Any]) -> int:
    """Raises Problem("bad_request")."""
    if len(args) != 1:
        raise Problem("bad_request")
    try:
        return msgspec.convert(args[0], Target).sale_id
    except msgspec.ValidationError:
        raise Problem("bad_request", field="sale_id") from None
