"""What the scheduler does although nobody asks: endings, terms, settlement.

Each rule is broken in turn.
"""

from typing import Final

from tests.lab.faults import Mishap
from tests.lab.mutants.breaking import Mutant
from tests.lab.people import Kind
from tests.lab.plan import SalePlan

DUTIES: Final = (
    Mutant(
        "unsynced rows stay",
        "usecases.release:Release.finish_unsynced",
        "rows = await self._holds.unsynced(SWEEP_MAX)",
        "rows = []",
        "rows that a crash left untold are told to Redis",
        ("rest", "waits", "healing"),
    ),
    Mutant(
        "synced before told",
        "usecases.release:Release.tell",
        "await self._announcer.holds(holds)",
        "await self._holds.mark_synced([h.rid for h in holds], holds[0].state)\n"
        "    await self._announcer.holds(holds)",
        "a row is marked synced after Redis was told",
        ("healing", "waits"),
    ),
    Mutant(
        "nobody sweeps",
        "usecases.release:Release.sweep",
        "due = _by_sale(await self._holds.due(surely_ms(self._clock), SWEEP_MAX))",
        "due = {}",
        "the sweep ends what a lost reminder left",
        ("waits",),
    ),
    Mutant(
        "no grace",
        "adapters.sql.releases:_release",
        '"latest_ms": now_ms - GRACE_MS',
        '"latest_ms": now_ms',
        "a hold ends when its grace has passed, whoever reminds of it",
        ("always",),
        shape={
            "events": ("reminders early",),
            "every_s": 0.4,
            "people": (Kind.EXPIRES,) * 9,
            "sale_s": 26.0,
        },
    ),
    Mutant(
        "less stock, no rebuild",
        "usecases.control:Control.stock",
        "if terms.phase is not Phase.DRAFT:",
        "if False:",
        "Redis is rebuilt after the stock was lowered",
        ("healing",),
        second=True,
    ),
    Mutant(
        "more stock is not told",
        "usecases.control:Control.catch_up",
        "if reading.stock < terms.stock:",
        "if False:",
        "a raised stock that Redis missed is told again",
        ("waits", "healing", "rest"),
        shape={
            "acts": ("raise",),
            "focus": ("store.resize",),
            "rate": 0.7,
            "mishaps": (Mishap.AWAY, Mishap.GONE),
        },
    ),
    Mutant(
        "a phase is not told again",
        "usecases.control:Control.catch_up",
        "if told != (stored_phase(terms), terms.closes_at_ms):",
        "if False:",
        "a phase that Redis missed is told again",
        ("waits", "healing", "rest"),
        shape={
            "acts": ("pause",),
            "focus": ("store.set_phase",),
            "rate": 0.7,
            "mishaps": (Mishap.AWAY, Mishap.GONE),
        },
    ),
    Mutant(
        "catch up by old terms",
        "usecases.control:Control.catch_up",
        "latest = await self._sales.terms(terms.sale_id)",
        "latest = terms",
        "what Redis is told was read of SQL after Redis was read",
        ("healing",),
        shape={"acts": ("pause",), "moment_s": 0.05, "rate": 0.0, "events": (), "sale_s": 26.0},
    ),
    Mutant(
        "close by old terms",
        "usecases.control:Control.close_sold_out",
        "if_sold_out=True",
        "if_sold_out=False",
        "a sale is closed as sold out if it is so at that moment",
        ("healing",),
        shape={
            "acts": ("raise",),
            "people": (Kind.PAYS,) * 6,
            "sales": (SalePlan(1, 5, 9),),
            "moment_s": 0.05,
            "sale_s": 26.0,
        },
    ),
    Mutant(
        "settled while it sells",
        "usecases.settlement:Settlement._drained",
        "reading = await self._store.reading(terms.sale_id)",
        "return True\n    reading = None",
        "a sale is settled when nothing of it is open",
        ("waits", "rest", "told", "healing"),
        second=True,  # SQL settles nothing that is open, and the audit comes before
    ),
    Mutant(
        "a settled sale stays in Redis",
        "usecases.settlement:Settlement.forget_settled",
        "epochs = await self._sales.settled_epochs(FORGET_MAX)",
        "epochs: dict[int, int] = {}",
        "what a settled sale left in Redis is dropped",
        ("rest",),
        shape={
            "focus": ("store.drop", "broker.drop"),
            "rate": 0.5,
            "mishaps": (Mishap.DIES_BEFORE,),
        },
    ),
)
