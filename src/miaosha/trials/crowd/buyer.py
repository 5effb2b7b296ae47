"""Buyer: one synthetic buyer, its connections, what it does, and what it was told.

behaviour.py says how it behaves. The buyer checks the contract from outside: versions never go
back, a request is never told two different fates, one hold gives one order.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Any

from miaosha.trials.crowd.crowd_plan import CrowdPlan, View, Visitor
from miaosha.trials.crowd.http_client import Answer, Http
from miaosha.trials.crowd.socketio_client import Socket, connect

FIRST_ASK_S = 5.0  # without a push a buyer asks for itself, first after this, then ever more rarely
ASK_MAX_S = 20.0
STANDBY_ASK_S = 60.0  # whoever stands by has had a result; the next one may be far away
GONE = frozenset({"none", "queued", "sold_out", "closed", "ended"})
LOST_FATE = frozenset({"sold_out", "closed"})
WON_FATE = frozenset({"held", "standby", "paying", "paid"})
CARD = {"expiry": "12/30", "cvc": "123"}


@dataclass
class CrowdTally:
    """Counters of the whole crowd, for its progress lines."""

    connected: int = 0
    pressed: int = 0
    presses: int = 0
    accepted: int = 0
    done: int = 0
    complaints: int = 0


@dataclass
class Crowd:
    """What the buyers of one process share. `over`: the sale is settled, finish now."""

    plan: CrowdPlan
    tally: CrowdTally = field(default_factory=CrowdTally)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(100))

    buyers: list["Buyer"] = field(default_factory=list)

    def finish(self) -> None:
        """The sale is settled: wake everybody up for their last question."""
        self.over.set()
        for buyer in self.buyers:
            buyer.changed.set()

    def path(self, rest: str = "") -> str:
        return f"/api/v1/sales/{self.plan.sale_id}{rest}"


class Buyer:
    """`changed` is set whenever something new was heard."""

    def __init__(self, person: Visitor, crowd: Crowd) -> None:
        self.person = person
        self.crowd = crowd
        self.dice = random.Random(f"{crowd.plan.seed}:{person.number}")  # noqa: S311 - a play
        edges = [(crowd.plan.host, crowd.plan.port), *crowd.plan.more_edges]
        home = person.number % len(edges)
        self.http = Http(*edges[home], person.address, edges[home + 1 :] + edges[:home])
        self.view = View(number=person.number, kind=person.kind, user_id=person.user_id)
        self.socket: Socket | None = None
        self.sale: dict[str, Any] = {}
        self.question: dict[str, Any] = {}
        self.place: dict[str, Any] = {}
        self.checkout_token = ""  # of the hold in `place`
        self.changed = asyncio.Event()
        self._pressed_at = 0.0
        self._clock_offset_ms = 0.0

    # connections

    async def enter(self) -> None:
        """Sign up if need be, connect, watch the sale and get the question."""
        if self.person.token:
            self.http.token = self.person.token
        else:
            await self._sign_up()
        await self.listen()
        while not self.question and not self.crowd.over.is_set():
            answer = await self.http.request("GET", self.crowd.path("/question"))
            if answer.status == 200:
                self.question = answer.body
            else:
                await self.pause(answer.retry_after_s or 0.5)

    async def _sign_up(self) -> None:
        body = {
            "email": self.person.email,
            "password": self.person.password,
            "name": f"Visitor {self.person.number}",
        }
        while not self.crowd.over.is_set():
            answer = await self.http.request("POST", "/api/v1/accounts", body)
            if answer.code == "email_taken":  # an earlier try went through, its answer was lost
                answer = await self.http.request(
                    "POST", "/api/v1/sessions", {k: body[k] for k in ("email", "password")}
                )
            if answer.status in (200, 201):
                self.http.token = answer.body["access_token"]
                self.view.user_id = answer.body["user"]["id"]
                return
            await self.pause(answer.retry_after_s or 1.0)

    async def listen(self) -> None:
        """Connect the socket and watch the sale; tries until it works."""
        while not self.crowd.over.is_set():
            with contextlib.suppress(OSError, TimeoutError):
                async with self.crowd.gate:
                    self.socket = await connect(
                        *self.http.edge,
                        self.person.address,
                        self.http.token,
                        self._event,
                        self.changed.set,
                        watch=self.crowd.plan.sale_id,
                    )
                watched = self.socket.watched
                if watched.get("ok"):
                    self._sale(watched["sale"])
                    self.question = watched.get("question") or self.question
                    self.crowd.tally.connected += 1
                    return
            self.http.turn_away()
            await self.pause(self.dice.uniform(0.3, 1.5))

    async def _listen_again(self) -> bool:
        """True: the socket was lost and is back; what was pushed meanwhile has to be asked for."""
        if self.socket is None or not self.socket.closed.is_set():
            return False
        self.view.reconnects += 1
        self.crowd.tally.connected -= 1
        await self.pause(self.dice.uniform(0, 1))
        await self.listen()
        return True

    def leave(self) -> None:
        """Close every connection."""
        if self.socket and not self.socket.closed.is_set():
            self.crowd.tally.connected -= 1
            self.socket.close()
        self.http.close()

    # what is heard

    def _event(self, name: str, argument: Any) -> None:
        if name == "sale":
            self._sale(argument)
        elif name == "result" and argument.get("sale_id") == self.crowd.plan.sale_id:
            self.view.pushes += 1
            if argument.get("user_id", self.view.user_id) != self.view.user_id:
                self.complain("a result for somebody else")
            self.hear(argument, argument["request_id"])
        self.changed.set()

    def _sale(self, sale: dict[str, Any]) -> None:
        self.sale = sale
        now = asyncio.get_running_loop().time() * 1000
        self._clock_offset_ms = sale["server_time_ms"] - now

    def hear(self, news: dict[str, Any], rid: str, *, asked: bool = False) -> None:
        """Take in a push, or (`asked`) an answer of `mine`, about request `rid`."""
        state, version = news["state"], news.get("version", 0)
        if state == "standby" and not asked and "closed" in self.view.told.get(rid, ()):
            self.view.stale_pushes += 1  # an answer overtook it
            return
        if state != "queued":
            told = self.view.told.setdefault(rid, [])
            if not told or told[-1] != state:
                told.append(state)
            self._one_fate(rid, told)
            if self.view.result_ms < 0 and self._pressed_at and rid in self.view.accepted:
                self.view.result_ms = (self._now() - self._pressed_at) * 1000
        if state in GONE:
            if asked or not self.place:
                self.view.state = state
            return
        if version < self.place.get("version", 0):
            self.view.stale_pushes += 1
            return
        if rid != self.place.get("rid"):
            self.checkout_token = ""
        self.place = {**news, "rid": rid}
        self.checkout_token = news.get("checkout_token") or self.checkout_token
        self.view.state, self.view.version, self.view.rid = state, version, rid

    def _one_fate(self, rid: str, told: list[str]) -> None:
        if LOST_FATE & set(told) and WON_FATE & set(told) and told[-1] != "closed":
            self.complain(f"request {rid} was told {', '.join(told)}")

    def complain(self, text: str) -> None:
        if len(self.view.complaints) < 20:
            self.view.complaints.append(text)
        self.crowd.tally.complaints += 1

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def ms_until(self, moment_ms: int) -> float:
        """Milliseconds until a moment of the server's clock."""
        return moment_ms - (self._now() * 1000 + self._clock_offset_ms)

    async def pause(self, seconds: float) -> None:
        """Sleep, but not past the end of the sale."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.crowd.over.wait()

    # what is done

    def right_answer(self) -> str:
        return self.crowd.plan.right[self.question["id"]]

    def wrong_answer(self) -> str:
        right = self.right_answer()
        return next(str(c["key"]) for c in self.question["choices"] if c["key"] != right)

    async def press(self, answer: str) -> Answer:
        """One press of the button."""
        if not self.view.presses:
            self.crowd.tally.pressed += 1
        if not self.view.accepted:
            self._pressed_at = self._now()
        self.view.presses += 1
        self.crowd.tally.presses += 1
        got = await self.http.request("POST", self.crowd.path("/purchases"), {"answer": answer})
        self.view.answers[got.name] = self.view.answers.get(got.name, 0) + 1
        if got.status == 202:
            rid = got.body["request_id"]
            if rid not in self.view.accepted:
                self.view.accepted.append(rid)
                self.crowd.tally.accepted += 1
            if rid in self.view.told and self.view.result_ms < 0:  # the push was faster
                self.view.result_ms = (self._now() - self._pressed_at) * 1000
        return got

    async def ask(self, rid: str | None = None) -> str:
        """`mine`; the state it says, or "" without an answer."""
        rid = rid or (self.view.accepted[-1] if self.view.accepted else None)
        query = f"?request_id={rid}" if rid else ""
        async with self.crowd.gate:
            got = await self.http.request("GET", self.crowd.path("/purchases/mine") + query)
        if got.status != 200:
            return ""
        self.hear(got.body, got.body.get("request_id") or rid or "", asked=True)
        if rid:
            self.view.last_asked[rid] = got.body["state"]
        return str(got.body["state"])

    async def until(self, *states: str, within_s: float = 3600) -> str:
        """Wait until the place is in one of `states`; asks when pushes do not come. Returns the
        state, or "" when the sale is over or the time is up."""
        end = self._now() + within_s
        patience = FIRST_ASK_S * self.dice.uniform(0.8, 1.2)
        while not self.crowd.over.is_set() and self._now() < end:
            if self.view.state in states:
                return self.view.state
            self.changed.clear()
            wait = STANDBY_ASK_S if self.view.state == "standby" else patience
            heard = await self._wait(min(wait, end - self._now()))
            if await self._listen_again() or not heard:
                await self.ask()
                patience = min(ASK_MAX_S, patience * 2)
        return self.view.state if self.view.state in states else ""

    async def _wait(self, seconds: float) -> bool:
        """True: something was heard (or the socket was lost, or the sale is over)."""
        try:
            async with asyncio.timeout(max(0.01, seconds)):
                await self.changed.wait()
        except TimeoutError:
            return False
        return True
