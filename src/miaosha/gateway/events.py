"""The sale on top of the sockets: who connects, and what a client may ask (`watch`, `lookup`).

Events to the client are sent by `fanout`.
"""

from typing import Any, Protocol

import msgspec

from miaosha.domain.errors import Problem
from miaosha.domain.sale import QuestionView, ask
from miaosha.gateway import socketio
from miaosha.gateway.core import Refused
from miaosha.gateway.hub import Hub
from miaosha.gateway.lookups import Lookup, Lookups, denial
from miaosha.gateway.sales import Sales
from miaosha.gateway.session import Session
from miaosha.ports.outside import Clock, Identity

NAMESPACE = "/"
_encode = msgspec.json.Encoder().encode


class AccessTokens(Protocol):
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
        tokens: AccessTokens,
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

    def connect(self, session: Session, namespace: str, auth: Any) -> None:
        """A valid token makes it that user's socket; none, an anonymous one."""
        if namespace != NAMESPACE:
            raise Refused("Invalid namespace", {"code": "not_found"})
        token = auth.get("token") if auth else None
        if token is None:
            return
        identity = self._identity(token)
        if not self._hub.identify(session, identity.user_id):
            session.core.count("connects_refused_user")
            raise Refused(
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
            raise Refused("A valid access token is required", {"code": "unauthorized"}) from None

    def connected(self, session: Session, namespace: str, auth: Any) -> None:
        """Nothing is sent unasked: the client watches what it wants to see."""

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
                session.send(socketio.ack(ack_id, denial(problem)))

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        """We ask for no acknowledgements; one that comes anyway says nothing."""

    def disconnected(self, session: Session, namespace: str) -> None:
        self._hub.leave(session)
        session.expires_at_s = 0

    def _watch(self, session: Session, sale_id: int, ack_id: int | None) -> None:
        sale = self._sales.asked(sale_id)
        self._hub.watch(session, sale_id)
        shown = self._sales.view(sale)
        self._sales.note(shown)
        seen = _encode(shown)
        told = socketio.event("sale", seen)
        if ack_id is None:
            session.send(told)
            return
        question = None
        if session.user_id and sale.questions:
            question = ask(sale.question_for(self._question_key, session.user_id))
        session.send(socketio.ack(ack_id, _watched(seen, question)), told)

    def _lookup(self, session: Session, sale_id: int, ack_id: int | None) -> None:
        if not session.user_id:
            raise Problem("unauthorized")
        if ack_id is not None:
            self._lookups.ask(Lookup(session, session.user_id, sale_id, ack_id))


def _watched(seen: bytes, question: QuestionView | None) -> bytes:
    """A Watched around a view that is encoded already: every buyer of a storm asks for it."""
    if question is None:
        return b'{"ok":true,"sale":%b}' % seen
    return b'{"ok":true,"sale":%b,"question":%b}' % (seen, _encode(question))


def _target(args: list[Any]) -> int:
    """Raises Problem("bad_request")."""
    if len(args) != 1:
        raise Problem("bad_request")
    try:
        return msgspec.convert(args[0], Target).sale_id
    except msgspec.ValidationError:
        raise Problem("bad_request", field="sale_id") from None
