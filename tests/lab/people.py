"""People: buyers of several kinds, who press, ask, pay, give up, and press again.

A buyer knows only what a page would know. Whatever a buyer is told goes to the oracles.
"""

import asyncio
import functools
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from miaosha.domain.errors import Fault, Problem
from miaosha.domain.reservation import State
from miaosha.ports.orders import Delivery
from miaosha.ports.payments import Card
from miaosha.usecases.checkout import NeedsAction, Paid
from miaosha.usecases.query import Mine
from tests.lab.process import ConnectionEnded
from tests.lab.provider import GOOD, LOST, REDIRECT, REFUSED

if TYPE_CHECKING:
    from tests.lab.world import World

HOME: Final = Delivery("A Buyer", "+886 900 000 000", "1 Long Street")
RETURN_URL: Final = "http://localhost:8000/"
ANSWER: Final = b'{"answer":"a"}'
REQUEST_S: Final = 9.0  # a page waits this long for an answer
COUNTED_S: Final = 60.0  # a countdown above this is not waited for: nothing here lasts so long
FINAL_CODES: Final = frozenset({"sold_out", "closed", "not_found"})


class Kind(StrEnum):
    PAYS = "pays"
    REFUSED_ONCE = "refused once"
    ANSWER_LOST = "answer lost"
    REDIRECTED = "redirected"
    PAYS_TWICE = "pays twice"
    GIVES_UP = "gives up"
    EXPIRES = "expires"
    EXTENDS = "extends"
    PAYS_LATE = "pays late"
    ALWAYS_REFUSED = "always refused"
    LEAVES = "leaves"


class Told(NamedTuple):
    """What a buyer was told of a place, when (loop s), and by what."""

    at_s: float
    by: str  # mine, result, lookup, order
    rid: str
    state: str
    version: int


class Accepted(NamedTuple):
    """A 202."""

    rid: str
    at_s: float


@dataclass
class Buyer:
    world: "World"
    id: int
    kind: Kind
    sale_id: int
    accepted: list[Accepted] = field(default_factory=list)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._dice = self.world.dice.row(f"buyer-{self.id}")
        self._extended = False
        self._left = False
        self._socket: Any = None

    # hearing

    def hear(self, name: str, told: Any) -> None:
        """What a gateway sent."""
        if name == "result":
            self._note("result", told["request_id"], told["state"], told["version"])
        elif name.startswith("ack") and told.get("ok"):
            self._note("lookup", told.get("request_id") or "", told["state"], told["version"])
        self.wake.set()

    def _note(self, by: str, rid: str, state: str, version: int) -> None:
        told = Told(self.world.loop.time(), by, rid, state, version)
        self.world.oracles.told(self, told)

    async def listen(self) -> None:
        """Stay connected to a gateway, any one that lives; look up after coming back."""
        lookups = 0
        while True:
            process = self.world.pick("gateway", self._dice)
            try:
                if process is None:
                    raise ConnectionEnded("no gateway")
                socket = await process.ask(
                    lambda desk: desk.connect(self.id, self.sale_id, self.hear), REQUEST_S
                )
                lookups += 1
                number = lookups
                look = functools.partial(_lookup, socket, self.sale_id, number)
                await process.ask(look, REQUEST_S)
                while process.parts is not None:  # noqa: ASYNC110 (a page notices late)
                    await asyncio.sleep(0.5)
            except (ConnectionEnded, Problem):
                pass
            await asyncio.sleep(self._dice.span(0.1, 1.5))

    # pressing

    async def live(self) -> None:
        """A buyer's visit: some presses, and what follows from each."""
        await asyncio.sleep(self._dice.span(0.0, 4.0))
        for _ in range(1 + self._dice.below(3)):
            rid = await self._press()
            if rid is None:
                return
            await self._follow(rid)
            await asyncio.sleep(self._dice.span(0.2, 4.0))

    async def _press(self) -> str | None:
        """The request's id; None: there is nothing more to be had."""
        while not self.world.closing:
            process = self.world.pick("publisher", self._dice)
            try:
                if process is None:
                    raise ConnectionEnded("no publisher")
                raw = await process.ask(
                    lambda desk: desk.press(self.sale_id, self.id, ANSWER), REQUEST_S
                )
            except ConnectionEnded:
                await asyncio.sleep(self._dice.span(0.1, 1.0))
                continue
            status, body = int(raw[9:12]), msgspec.json.decode(raw.partition(b"\r\n\r\n")[2])
            if status == 202:
                self.accepted.append(Accepted(body["request_id"], self.world.loop.time()))
                return str(body["request_id"])
            if body["code"] in FINAL_CODES:
                return None
            await asyncio.sleep(self._dice.span(0.3, 1.5))
        return None

    # what follows

    async def _follow(self, rid: str) -> None:
        """Until the request, and the place it won, have come to their end."""
        while not self.world.finished:
            mine = await self._mine(rid)
            if mine is not None and await self._ends(mine):
                return
            self.wake.clear()
            try:
                async with asyncio.timeout(self._dice.span(0.8, 2.5)):
                    await self.wake.wait()
            except TimeoutError:
                pass

    async def _mine(self, rid: str) -> Mine | None:
        mine = await self._ask(lambda desk: desk.query.mine(self.sale_id, self.id, rid))
        if mine is not None:
            self._note("mine", mine.request_id or "", mine.state, mine.version)
        return mine  # type: ignore[no-any-return]

    async def _ask(self, work: Any) -> Any:
        """What the API says; None if it could not say, or said no."""
        process = self.world.pick("api", self._dice)
        try:
            if process is None:
                raise ConnectionEnded("no api")
            return await process.ask(work, REQUEST_S)
        except (ConnectionEnded, Problem, Fault):
            return None
        except Exception as error:
            self.world.oracles.broken(f"buyer {self.id}", error)
            return None

    async def _ends(self, mine: Mine) -> bool:
        """Act on where the buyer stands; whether that is the end of it."""
        match mine.state:
            case State.HELD:
                await self._held(mine)
                return self._left and self.kind is Kind.EXPIRES
            case State.STANDBY if self.kind is Kind.LEAVES and not self._left:
                self._left = self._dice.chance(0.3)
                if self._left:
                    await self._give_up()
                return False
            case State.QUEUED | State.STANDBY | State.PAYING:
                return False
        return True

    async def _held(self, mine: Mine) -> None:
        token = mine.checkout_token or ""
        match self.kind:
            case Kind.PAYS | Kind.LEAVES:
                await self._pay(token, GOOD)
            case Kind.REFUSED_ONCE:
                await self._pay(token, REFUSED if self._dice.chance(0.5) else GOOD)
            case Kind.ALWAYS_REFUSED:
                await self._pay(token, REFUSED)
            case Kind.ANSWER_LOST:
                await self._pay(token, LOST)
            case Kind.REDIRECTED:
                await self._pay(token, REDIRECT)
            case Kind.PAYS_TWICE:
                await asyncio.gather(self._pay(token, GOOD), self._pay(token, GOOD))
            case Kind.GIVES_UP:
                await self._give_up()
            case Kind.EXTENDS:
                await self._extend(mine)
            case Kind.PAYS_LATE:
                left_s = ((mine.pay_by_ms or 0) - mine.server_time_ms) / 1000
                if left_s > COUNTED_S:  # by a clock that was set: it is asked again
                    return
                await asyncio.sleep(max(0.0, left_s + self._dice.span(-1.0, 2.5)))
                await self._pay(token, GOOD)
            case Kind.EXPIRES:
                self._left = True

    async def _extend(self, mine: Mine) -> None:
        if not self._extended:
            self._extended = True
            await self._ask(
                lambda desk: desk.extension.extend(self.sale_id, self.id, mine.pay_by_ms)
            )
        else:
            await self._pay(mine.checkout_token or "", GOOD)

    async def _give_up(self) -> None:
        await self._ask(lambda desk: desk.release.give_up(self.sale_id, self.id))

    async def _pay(self, token: str, card: Card) -> None:
        await asyncio.sleep(self._dice.span(0.0, 1.5))
        paid = await self._ask(
            lambda desk: desk.checkout.pay(self.sale_id, self.id, token, card, HOME, RETURN_URL)
        )
        if isinstance(paid, Paid):
            self._note("order", paid.order.rid, State.PAID, 0)
        if isinstance(paid, NeedsAction):
            await asyncio.sleep(self._dice.span(0.3, 6.0))
            decides = self._dice.below(4)  # approves, approves, declines, closes the page
            if decides < 3:
                key = paid.redirect_url.rpartition("/")[2]
                self.world.provider.answer(key, approve=decides < 2)


async def _lookup(socket: Any, sale_id: int, number: int, desk: Any) -> None:
    await desk.lookup(socket, sale_id, number)
