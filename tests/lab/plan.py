"""Plan: what there is in one history: faults, acts, people, sales; a random part of all of them.

A history in which everything happens hides what would show if only some did. So each leaves most
kinds out.
"""

from dataclasses import dataclass
from typing import Final

from tests.lab.broker_server import Kind as BrokerKind
from tests.lab.cast import ROLES
from tests.lab.dice import Row
from tests.lab.faults import Mishap
from tests.lab.people import Kind
from tests.lab.staff import ACTS

RATES: Final = (0.0, 0.005, 0.01, 0.02, 0.04)  # faults a call
EVENTS: Final = (
    "store restarts",
    "store forgets",
    "store set back",
    "store fails over",
    "broker redelivers",
    "broker duplicates",
    "broker restarts",
    "reminders early",
    "reminders late",
    "reminders twice",
    "sql busy",
    "disk full",
    "clock jumps",
    "kill",
    "roll",
    "store away",
    "broker away",
    "sql away",
    "provider away",
    "mail away",
    "mail refused",
    "stalls",
)
EACH: Final = 2  # processes of a role
BROKERS: Final[tuple[BrokerKind, ...]] = ("streams", "single")
MOMENTS_S: Final = (0.001, 0.001, 0.01, 0.05)
SALE_S: Final = (9.0, 16.0, 26.0)
CALM_S: Final = (7.0, 13.0)
SKEWS_S: Final = (0.0, 0.5, 5.0)
DRIFTS: Final = (0.0, 200e-6)
PEOPLE: Final = (4, 6, 9, 12)


@dataclass(frozen=True)
class SalePlan:
    stock: int
    standby: int
    pay_within_s: int


@dataclass(frozen=True)
class Plan:
    """Attributes:
    rate: faults a call; mishaps: the kinds of them.
    events: what happens to servers and processes; every_s: one in so many seconds.
    moment_s: how long a call takes to arrive, at most, and its answer to return.
    sale_s: how long faults last; calm_s: how long the sale goes on in peace.
    each: processes of each role. people: the kind of each buyer.
    focus: only calls whose names begin like this meet a fault; (): all.
    skew_s: what machines' clocks are ahead or behind, at most; drift: how much too fast or slow.
    """

    rate: float
    mishaps: tuple[Mishap, ...]
    events: tuple[str, ...]
    every_s: float
    acts: tuple[str, ...]
    people: tuple[Kind, ...]
    sales: tuple[SalePlan, ...]
    moment_s: float
    sale_s: float
    calm_s: float
    log_kind: BrokerKind
    each: dict[str, int]
    focus: tuple[str, ...] = ()
    skew_s: float = 0.0
    drift: float = 0.0


def plan_of(row: Row) -> Plan:
    """The plan these dice give."""
    kinds = _some(row, tuple(Kind), 0.4) or (Kind.PAYS,)
    people = tuple(row.among(kinds) for _ in range(row.among(PEOPLE)))
    sales = tuple(
        SalePlan(1 + row.below(4), row.among((0, 2, 5)), row.among((6, 9, 14)))
        for _ in range(1 + row.chance(0.25))
    )
    return Plan(
        rate=row.among(RATES),
        mishaps=_some(row, tuple(Mishap), 0.4),
        events=_some(row, EVENTS, 0.2),
        every_s=row.among((9.0, 5.0, 2.5)),
        acts=_some(row, ACTS, 0.35),
        people=people,
        sales=sales,
        moment_s=row.among(MOMENTS_S),
        sale_s=row.among(SALE_S),
        calm_s=row.among(CALM_S),
        log_kind=row.among(BROKERS),
        each=dict.fromkeys(ROLES, EACH),
        skew_s=row.among(SKEWS_S),
        drift=row.among(DRIFTS),
    )


def _some(row: Row, things: tuple, share: float) -> tuple:  # type: ignore[type-arg]
    """Each with this probability, in their order."""
    return tuple(thing for thing in things if row.chance(share))
