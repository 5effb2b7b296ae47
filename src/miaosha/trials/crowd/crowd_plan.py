"""Crowd plan: what the crowd is told to do (CrowdPlan), and what each buyer saw (View)."""

from enum import StrEnum

import msgspec


class BuyerKind(StrEnum):
    """How a buyer behaves once the sale is open."""

    PROMPT = "prompt"  # pays at once
    LATE = "late"  # pays when most of the time is gone
    NEVER = "never"  # never pays
    AGAIN = "again"  # never pays, then presses again and pays
    HASTY = "hasty"  # presses ten times
    WRONG = "wrong"  # answers wrongly first
    DECLINER = "decliner"  # gives a hold back
    LEAVER = "leaver"  # leaves standby
    TWICE = "twice"  # sends the checkout twice at once and once more later
    REFUSED = "refused"  # a refused card, then a good one
    LOST = "lost"  # the answer of the charge is lost
    SLOW = "slow"  # a card that takes ten seconds
    REDIRECT = "redirect"  # a card that wants a second step
    DEAF = "deaf"  # loses its socket after pressing and asks for itself


WEIGHTS = {
    BuyerKind.PROMPT: 34,
    BuyerKind.LATE: 9,
    BuyerKind.NEVER: 12,
    BuyerKind.AGAIN: 3,
    BuyerKind.HASTY: 7,
    BuyerKind.WRONG: 6,
    BuyerKind.DECLINER: 5,
    BuyerKind.LEAVER: 6,
    BuyerKind.TWICE: 5,
    BuyerKind.REFUSED: 4,
    BuyerKind.LOST: 3,
    BuyerKind.SLOW: 1,
    BuyerKind.REDIRECT: 2,
    BuyerKind.DEAF: 3,
}


class Visitor(msgspec.Struct, frozen=True):
    """One buyer. Without a token it signs up first, with `email` and `password`."""

    number: int
    address: str  # 127.0.x.y, where its connections come from
    kind: BuyerKind
    user_id: int = 0
    token: str = ""
    email: str = ""
    password: str = ""


class CrowdPlan(msgspec.Struct, frozen=True):
    """Attributes:
    more_edges: (host, port) of further edges of the same platform; buyers are spread over all, and
        go to the next one when theirs takes no connection.
    right: question id → key of the right choice.
    rush_s: mean seconds between opening and a buyer's first press.
    out: where the views go (msgpack).
    """

    host: str
    port: int
    sale_id: int
    seed: int
    right: dict[int, str]
    people: list[Visitor]
    out: str
    rush_s: float = 1.0
    more_edges: list[tuple[str, int]] = []


class View(msgspec.Struct):
    """What one buyer pressed, was told and believes at the end.

    Attributes:
        presses: requests sent; `answers` counts what came back by status or code.
        accepted: request ids of its 202s, in order.
        told: request id → every state it was told for it, in order.
        result_ms: ms from the first accepted press to its first result; -1: none.
        state, rid, version: the place as last known (`mine` at the end).
        orders: ids of orders it was given.
        complaints: what contradicted the contract.
    """

    number: int
    kind: BuyerKind
    user_id: int = 0
    presses: int = 0
    answers: dict[str, int] = {}
    accepted: list[str] = []
    told: dict[str, list[str]] = {}
    pushes: int = 0
    stale_pushes: int = 0
    reconnects: int = 0
    result_ms: float = -1
    state: str = "none"
    rid: str = ""
    version: int = 0
    last_asked: dict[str, str] = {}
    orders: list[str] = []
    complaints: list[str] = []


class CrowdProgress(msgspec.Struct, frozen=True):
    """One line a second on the crowd's stdout."""

    people: int
    connected: int
    pressed: int
    presses: int
    accepted: int
    done: int
    complaints: int
    ended: bool = False
