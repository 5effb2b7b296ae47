"""Money: what the provider took is an order or was given back, and each event has one mail."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miaosha.domain.money import Money as Amount
from miaosha.ports.payments import ChargeState
from tests.lab.plan import EACH

if TYPE_CHECKING:
    from tests.lab.world import World

ORDERS: Final = "SELECT rid, attempt FROM orders"
AMOUNTS: Final = """
    SELECT orders.rid, attempt, orders.amount, orders.currency, sales.amount, sales.currency
    FROM orders JOIN sales ON sales.id = orders.sale_id
"""
WON: Final = "SELECT rid, promoted FROM holds"
EXPIRED: Final = "SELECT rid FROM holds WHERE reason = 'expired'"
MAILING: Final = ("mail.", "sql.SqlOutbox", "sql.outbox", "broker.", "queue.")
SENT_AGAIN: Final = (  # events that let another mailer send what one has sent
    *("broker redelivers", "broker duplicates", "broker restarts", "broker away"),
    *("sql busy", "disk full", "sql away", "mail away", "mail refused"),
)
REFUNDED: Final = "SELECT rid, attempt FROM payments WHERE state = 'refunded'"


class Money:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find

    def judge(self) -> None:
        """At the end, when nothing is on its way any more."""
        self._charges()
        self._amounts()
        self._mails()

    def _charges(self) -> None:
        world = self._world
        orders = {f"{rid}:{attempt}" for rid, attempt in world.sql.ask(ORDERS)}
        states = {key: charge.state for key, charge in world.provider.charges.items()}
        world.counts["look money"] += len(states)
        for key in sorted(orders):
            if states.get(key) is not ChargeState.CHARGED:
                self._find("money", f"an order of {key}, whose charge is {states.get(key)}")
        for key, state in sorted(states.items()):
            if state is ChargeState.CHARGED and key not in orders:
                self._find("money", f"{key} is charged, and there is no order", "no order")
            if state is ChargeState.REFUNDED:
                self._find("money", f"{key} was charged in vain: it was given back", "in vain")
            if state is ChargeState.ACTION:
                self._find("money", f"{key} waits for its buyer for ever", "waits")

    def _amounts(self) -> None:
        """What was taken is what the order says, and the sale's price."""
        asked = self._world.provider.amounts
        for rid, attempt, amount, currency, price, of in self._world.sql.ask(AMOUNTS):
            taken = asked.get(f"{rid}:{attempt}", [])
            if taken != [Amount(amount, currency)] or (amount, currency) != (price, of):
                self._find(
                    "money",
                    f"an order of {rid} over {amount} {currency} at a price of {price} {of}:"
                    f" {taken} was taken",
                    "amount",
                )

    def _mails(self) -> None:
        world = self._world
        due = {
            f"{'your_turn' if promoted else 'won'}:{rid}" for rid, promoted in world.sql.ask(WON)
        }
        due |= {f"paid:{rid}" for rid, _ in world.sql.ask(ORDERS)}
        due |= {f"expired:{rid}" for (rid,) in world.sql.ask(EXPIRED)}
        due |= {f"refunded:{rid}:{attempt}" for rid, attempt in world.sql.ask(REFUNDED)}
        rows = dict(world.sql.ask("SELECT dedupe_key, state FROM outbox"))
        for key in sorted(due - rows.keys()):
            self._find("money", f"no mail was ever written: {key}", key.partition(":")[0])
        for key, charge in sorted(world.provider.charges.items()):
            if charge.state is ChargeState.REFUNDED and f"refunded:{key}" not in rows:
                self._find("money", f"nobody is told that {key} was given back", "refund untold")
        world.counts["look money"] += len(rows)
        sent: Counter[str] = Counter()
        for _, id_ in world.mail.sent:
            sent[id_.partition("@")[0]] += 1
        for key, state in sorted(rows.items()):
            self._mail(key, state, sent)
        self._twice()

    def _mail(self, key: str, state: str, sent: Counter[str]) -> None:
        if state != "sent":
            self._find("money", f"the mail {key} is {state} at the end", f"{state}")
        event, rid = key.split(":")[:2]  # of a refund the attempt follows
        if state == "sent" and not sent[f"<{event}.{rid}"]:
            self._find("money", f"the mail {key} is marked sent, and nobody got it", "not got")

    def _twice(self) -> None:
        """A mailer sends a mail again only if it cannot know that it did. Another one sends it
        again only after something befell the first, or SQL, or the queue."""
        world = self._world
        senders: Counter[str] = Counter()
        for key, count in sorted(world.mail.sent.items()):
            senders[key[1]] += 1
            if count > 1 + world.mail.failed[key]:
                self._find("money", f"one mailer sent {key[1]} {count} times", "twice")
        ends = world.counts["gone mailer"]
        disturbed = any(call.startswith(MAILING) for call, _ in world.weather.happened) or any(
            world.counts[f"event {event}"] for event in SENT_AGAIN
        )
        most = 1 + ends + (EACH - 1 if disturbed else 0)
        for id_, count in sorted(senders.items()):
            if count > most:
                self._find("money", f"{count} mailers sent {id_}, of which {ends} ended", "mailers")
