"""Provider: one that takes money by key, a mail server, and the bus: what a process tells outside.

The provider charges a key once, whatever is sent twice. It tells of a charge by webhook, when and
how often it likes.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from miaosha.adapters.redis.bus import PAUSE_FIRST_S, PAUSE_MAX_S, PERIODS_DEAF, PING_PERIOD_S
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Problem
from miaosha.domain.messages import BusMessage, decode_bus, encode_bus
from miaosha.domain.money import Money
from miaosha.ports.mail import Mail
from miaosha.ports.payments import Card, Charge, ChargeState
from tests.lab.link import Link

GOOD: Final = Card("4242424242424242", "12/30", "123")
REFUSED: Final = Card("4000000000000002", "12/30", "123")
LOST: Final = Card("4000000000000119", "12/30", "123")
REDIRECT: Final = Card("4000000000003220", "12/30", "123")
BUS_QUEUE_MAX: Final = 1_000


class ProviderServer:
    """Charges by key. `webhooks`: keys it has something to tell of; `amounts`: what it was asked to
    take, by key, each amount once."""

    def __init__(self) -> None:
        self.charges: dict[str, Charge] = {}
        self.webhooks: list[str] = []
        self.amounts: dict[str, list[Money]] = {}

    def charge(self, key: str, amount: Money, card: Card) -> tuple[Charge, bool]:
        """(the charge, whether this call made it)."""
        asked = self.amounts.setdefault(key, [])
        if amount not in asked:
            asked.append(amount)
        if key in self.charges:
            return self.charges[key], False
        if card == REDIRECT:
            self.charges[key] = Charge(ChargeState.ACTION, f"https://pay.example/{key}")
        elif card == REFUSED:
            self._move(key, ChargeState.REFUSED, "card_declined")
        else:
            self._move(key, ChargeState.CHARGED)
        return self.charges[key], True

    def lookup(self, key: str) -> Charge:
        return self.charges.get(key, Charge(ChargeState.NONE))

    def void(self, key: str) -> Charge:
        if self.lookup(key).state in (ChargeState.NONE, ChargeState.ACTION):
            self._move(key, ChargeState.VOIDED)
        return self.charges[key]

    def refund(self, key: str) -> Charge:
        if self.lookup(key).state is ChargeState.CHARGED:
            self._move(key, ChargeState.REFUNDED)
        return self.lookup(key)

    def answer(self, key: str, *, approve: bool) -> None:
        """The buyer answers on the provider's page; the first answer counts, none after a void."""
        if self.lookup(key).state is ChargeState.ACTION:
            if approve:
                self._move(key, ChargeState.CHARGED)
            else:
                self._move(key, ChargeState.REFUSED, "declined_by_buyer")

    def _move(self, key: str, state: ChargeState, reason: str = "") -> None:
        self.charges[key] = Charge(state, "", reason)
        self.webhooks.append(key)


class LabPayments:
    """Implements ports/payments.Payments for one process."""

    def __init__(self, server: ProviderServer, link: Link) -> None:
        self._server = server
        self._link = link

    async def charge(self, key: str, amount: Money, card: Card, return_url: str) -> Charge:
        charge, first = await self._link(
            "provider.charge", lambda: self._server.charge(key, amount, card), lost=OutcomeUnknown
        )
        if card == LOST and first:
            raise OutcomeUnknown("provider: the answer was lost, as this card asks")
        return charge

    async def lookup(self, key: str) -> Charge:
        return await self._link("provider.lookup", lambda: self._server.lookup(key))

    async def void(self, key: str) -> Charge:
        return await self._link("provider.void", lambda: self._server.void(key))

    async def refund(self, key: str) -> Charge:
        return await self._link("provider.refund", lambda: self._server.refund(key))

    def verify_webhook(self, body: bytes, signature: str) -> str:
        if signature != "signed":
            raise Problem("unauthorized")
        return body.decode()


class MailServer:
    """Counts mails by who sent them and their Message-ID.

    Attributes:
        sent: those that arrived.
        failed: those whose sender does not know whether they did.
        refuses: whether the next mail is refused for good.
        refused: how many were.
    """

    def __init__(self) -> None:
        self.refuses = False
        self.refused = 0
        self.sent: Counter[tuple[int, str]] = Counter()
        self.failed: Counter[tuple[int, str]] = Counter()
        self.senders = 0

    def join(self) -> int:
        """The number of a new sender."""
        self.senders += 1
        return self.senders

    def send(self, sender: int, mail: Mail) -> None:
        if self.refuses:
            self.refuses = False
            self.refused += 1
            raise Problem("bad_request", "The mail server refused this mail (550).")
        self.sent[sender, mail.message_id] += 1


class LabMailer:
    """Implements ports/mail.Mailer for one process."""

    def __init__(self, server: MailServer, link: Link) -> None:
        self._server = server
        self._link = link
        self._number = server.join()

    async def send(self, mail: Mail) -> None:
        server, key = self._server, (self._number, mail.message_id)
        try:
            await self._link("mail.send", lambda: server.send(self._number, mail))
        except BaseException:
            server.failed[key] += 1
            raise

    async def close(self) -> None: ...


class BusServer:
    """Fan-out without memory: whoever listens now, hears."""

    def __init__(self) -> None:
        self.listeners: list[asyncio.Queue[bytes | None]] = []

    def publish(self, raw: bytes) -> None:
        for listener in self.listeners:
            if listener.qsize() < BUS_QUEUE_MAX:
                listener.put_nowait(raw)

    def listen(self) -> "asyncio.Queue[bytes | None]":
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.listeners.append(queue)
        return queue

    def leave(self, queue: "asyncio.Queue[bytes | None]") -> None:
        if queue in self.listeners:
            self.listeners.remove(queue)

    def restart(self) -> None:
        """Every connection ends."""
        for listener in self.listeners:
            listener.put_nowait(None)
        self.listeners = []


class LabBus:
    """Implements ports/bus.Bus for one process, as adapters/redis/bus: a listener that is lost or
    deaf subscribes anew by itself, and what was said meanwhile is gone.

    Args:
        drops: whether the next message is lost on its way to this process.
        cut_s: the time of the loop until which this process cannot hear the server.
    """

    def __init__(
        self,
        server: BusServer,
        link: Link,
        drops: Callable[[], bool],
        cut_s: Callable[[], float],
    ) -> None:
        self._server = server
        self._link = link
        self._drops = drops
        self._cut_s = cut_s

    async def publish(self, message: BusMessage) -> None:
        raw = encode_bus(message)
        await self._link("bus.publish", lambda: self._server.publish(raw))

    async def listen(self) -> AsyncIterator[BusMessage]:
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                queue = await self._link("bus.listen", self._server.listen)
            except DependencyDown:
                pass
            else:
                pause_s = PAUSE_FIRST_S
                try:
                    async for message in self._subscription(queue):
                        yield message
                finally:
                    self._server.leave(queue)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _subscription(
        self, queue: "asyncio.Queue[bytes | None]"
    ) -> AsyncIterator[BusMessage]:
        """Until the server ends it, or no ping has come through for so long that it is deaf."""
        loop = asyncio.get_running_loop()
        heard_s = loop.time()
        while True:
            raw: bytes | None = b""
            try:
                async with asyncio.timeout(PING_PERIOD_S):
                    raw = await queue.get()
            except TimeoutError:
                pass
            deaf_s = heard_s + PERIODS_DEAF * PING_PERIOD_S
            if (cut_s := self._cut_s()) > loop.time():
                await asyncio.sleep(max(0.0, min(cut_s, deaf_s) - loop.time()))
                if cut_s > deaf_s:
                    return
            heard_s = loop.time()
            if raw is None:
                return
            if raw and not self._drops():
                yield decode_bus(raw)

    async def close(self) -> None: ...
