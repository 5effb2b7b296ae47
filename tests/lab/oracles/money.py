"""Money: what the provider took is an order or was given back, and each event has one mail."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miaosha.ports.payments import ChargeState
from tests.lab.plan import EACH

if TYPE_CHECKING:
    from tests.lab.world import World

ORDERS: Final = "SELECT rid, attempt FROM orders"
WON: Final = "SELECT rid, promoted FROM holds"
EXPIRED: Final = "SELECT rid FROM holds WHERE reason = 'expired'"
REFUNDED: Final = "SELECT rid, attempt FROM payments WHERE state = 'refunded'"


class Money:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find

    def judge(self) -> None:
        """At the end, when nothing is on its way any more."""
        self._charges()
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
        for key, state in sorted(rows.items()):
            self._mail(key, state)

    def _mail(self, key: str, state: str) -> None:
        world = self._world
        if state != "sent":
            self._find("money", f"the mail {key} is {state} at the end", f"{state}")
        event, rid = key.split(":")[:2]  # of a refund the attempt follows
        count = sum(n for id_, n in world.mail.sent.items() if id_.startswith(f"<{event}.{rid}@"))
        if state == "sent" and not count:
            self._find("money", f"the mail {key} is marked sent, and nobody got it", "not got")
        ends = world.counts["killed"] + world.counts["drained"] + world.counts["broke"]
        failed = sum(n for _, n in world.mishaps("mail.send"))
        if count > 1 + ends + failed + (EACH - 1 if world.lossy() else 0):
            self._find("money", f"the mail {key} was sent {count} times", "twice")
