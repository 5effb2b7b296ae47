"""What a loss of Redis, or of its clock, leaves behind. Each rule is broken in turn."""

from typing import Final

from tests.lab.faults import Mishap
from tests.lab.mutants.breaking import Mutant
from tests.lab.people import Kind
from tests.lab.plan import SalePlan

REBUILDS: Final = (
    Mutant(
        "no replay",
        "usecases.rebuild:Rebuilder._replay",
        "count = 0",
        "return 0",
        "a rebuild decides what the log holds and Redis has no record of",
        ("waits", "told", "healing", "rest"),
    ),
    Mutant(
        "run id is not compared",
        "usecases.settlement:Settlement._why_rebuild",
        "if not reading.genuine:",
        "if False:",
        "a Redis that restarted is rebuilt",
        ("waits", "rest", "healing"),
        shape={"events": ("store restarts",)},
    ),
    Mutant(
        "lost sales stay lost",
        "usecases.settlement:Settlement._why_rebuild",
        'return "arming" if terms.epoch == 0 else "the store lost its state"',
        'return "arming" if terms.epoch == 0 else ""',
        "a Redis that lost a sale is rebuilt",
        ("waits", "rest", "healing"),
        shape={"events": ("store forgets",)},
    ),
    Mutant(
        "rows say nothing of the log",
        "usecases.newest:Newest.answered",
        "return found",
        "return []",
        "a request whose buyer has a later row is not decided again",
        ("always", "told", "healing", "rest", "money"),
        second=True,  # a grant passes over rows that exist, and ends what has ended
    ),
    Mutant(
        "ungranted holds stay",
        "usecases.merging:Merging.return_ungranted",
        "cursor = 0",
        "return",
        "a rebuild puts holds that SQL never granted back in line",
        ("always", "told", "healing", "waits"),
        shape={
            "acts": ("rebuild",),
            "focus": ("sql.grants",),
            "rate": 0.5,
            "mishaps": (Mishap.AWAY,),
        },
    ),
    Mutant(
        "rows are not merged",
        "usecases.merging:Merging._merge",
        "await self._write(places, merged)",
        "pass",
        "a rebuild gives every buyer with a row the place that follows",
        ("always", "told", "healing", "rest"),
    ),
    Mutant(
        "a rebuild ends a pause",
        "usecases.rebuild:Rebuilder._rebuild",
        'phase = "paused" if terms.phase is Phase.PAUSED else "open"',
        'phase = "open"',
        "a paused sale is paused after its rebuild",
        ("healing", "waits"),
        shape={
            "acts": ("pause",),
            "events": ("store set back",),
            "every_s": 3.0,
            "rate": 0.0,
            "sale_s": 26.0,
        },
    ),
    Mutant(
        "heal by old terms",
        "usecases.settlement:Settlement.heal",
        "latest = await self._sales.terms(terms.sale_id)",
        "latest = terms",
        "a sale is rebuilt by terms that were read after Redis was",
        ("healing", "rest"),
        second=True,  # a rebuild begins only by the terms that asked for it
    ),
    Mutant(
        "an early marker",
        "usecases.rebuild:Rebuilder._rebuild",
        "if not await self._store.begin_rebuild(sale_id, terms.epoch, lease.rebuilder):\n"
        '        raise Superseded("begin")\n'
        "    marker = await self._mark(sale_id)",
        "marker = await self._mark(sale_id)\n"
        "    if not await self._store.begin_rebuild(sale_id, terms.epoch, lease.rebuilder):\n"
        '        raise Superseded("begin")',
        "the marker is written after Redis lost its epoch",
        ("told", "healing", "rest", "waits"),
        shape={
            "acts": ("rebuild",),
            "events": ("store set back",),
            "every_s": 1.2,
            "focus": ("store.begin_rebuild",),
            "rate": 0.9,
            "mishaps": (Mishap.SLOW,),
            "people": (Kind.EXPIRES, Kind.GIVES_UP, Kind.LEAVES) * 13,
            "sales": (SalePlan(1, 40, 6),),
            "sale_s": 7.0,
        },
    ),
    Mutant(
        "a loss waits for a person",
        "usecases.audit:_thing",
        "if difference.key == LOST or (named and",
        "if (named and",
        "a loss of the whole state is mended by a rebuild, however often",
        ("healing",),
        shape={
            "events": ("store set back",),
            "every_s": 1.5,
            "focus": ("sql.SqlRebuilds.begin",),
            "rate": 1.0,
            "mishaps": (Mishap.SLOW,),
            "sale_s": 60.0,
        },
    ),
    Mutant(
        "clocks are believed",
        "usecases.clock_watch:ClockWatch._freeze",
        "frozen = 0",
        "return",
        "a store whose clock was set ends no hold",
        ("waits", "told", "always"),
        shape={"events": ("clock stays set",), "every_s": 5.0, "people": (Kind.EXPIRES,) * 6},
    ),
)
