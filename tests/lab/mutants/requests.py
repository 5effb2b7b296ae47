"""What becomes of a press until its buyer is told. Each rule is broken in turn."""

from typing import Final

from tests.lab.faults import Mishap
from tests.lab.mutants.breaking import Mutant

REQUESTS: Final = (
    Mutant(
        "nobody waits",
        "usecases.allocate:Allocator._wait",
        "await asyncio.sleep(POLL_S)",
        "await asyncio.sleep(0)",
        "a consumer of a sale that waits asks ten times a second, not as fast as it can",
        ("work",),
        shape={"acts": ("pause",)},
    ),
    Mutant(
        "told before SQL",
        "usecases.allocate:Allocator._finish",
        "try:\n        if winners:",
        "told += [Result(sale_id, w.user_id, w.rid, State.HELD, w.version) for w in winners]\n"
        "    try:\n        if winners:",
        "nobody is told of a hold before SQL has it",
        ("told",),
    ),
    Mutant(
        "a place is enough",
        "usecases.query:Query._place",
        "return await self._row(row) if row else self._bare(State.QUEUED, 0, place.rid)",
        "return await self._row(row) if row else self._bare(State.HELD, place.version, place.rid)",
        "a hold that SQL does not know reads queued",
        ("told",),
    ),
    Mutant(
        "a refused batch is let go",
        "usecases.allocate:Allocator.handle",
        "todo = [b for b, a in both if isinstance(a, Refusal)] + todo[len(asked) :]",
        "todo = todo[len(asked) :]",
        "a batch is acknowledged when it is decided",
        ("waits", "healing", "rest"),
    ),
    Mutant(
        "an error lets a batch go",
        "usecases.allocate:Allocator.handle",
        "answers = await self._store.decide_many(sale_id, epoch, asked)",
        "try:\n"
        "            answers = await self._store.decide_many(sale_id, epoch, asked)\n"
        "        except Fault:\n"
        "            return",
        "a batch whose decision failed is not acknowledged",
        ("waits", "healing", "rest"),
        shape={"focus": ("store.decide",), "rate": 0.4, "mishaps": (Mishap.AWAY,)},
    ),
    Mutant(
        "202 without a confirm",
        "publisher.batcher:Batcher._deliver",
        'self._counters["publish_unknown"] += 1\n    except Overloaded:',
        'return ""\n    except Overloaded:',
        "a press is accepted when the broker has confirmed it",
        ("waits",),
        shape={"focus": ("broker.publish",), "rate": 0.4, "mishaps": (Mishap.GONE,)},
    ),
    Mutant(
        "202 while the broker is away",
        "publisher.batcher:Batcher._deliver",
        'except Fault:\n        self._counters["publish_failed"] += 1',
        'except Fault:\n        return ""',
        "a press is refused when the broker is away",
        ("waits",),
        shape={"focus": ("broker.publish",), "rate": 0.4, "mishaps": (Mishap.AWAY,)},
    ),
    Mutant(
        "left-over grants stay",
        "usecases.promote:Promoter.grant_left_over",
        "if not left:",
        "if True:",
        "holds whose consumer died between Redis and SQL are granted",
        ("waits",),
    ),
)
