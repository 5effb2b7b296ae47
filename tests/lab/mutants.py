"""Mutants: rules of the product, each broken in its own code, and the oracle that must find it.

A mutant is a function whose source has one piece replaced. A piece that is not there any more is an
error: the rule is written differently by now.
"""

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple


class Mutant(NamedTuple):
    """`where`: module of miaosha and function in it; `what`: the rule; `oracles`: those that may
    name it; `second`: a second line of defence holds, so that it may stay hidden."""

    name: str
    where: str
    old: str
    new: str
    what: str
    oracles: tuple[str, ...]
    second: bool = False


_ = Mutant
ANY: Final = ("always", "told", "healing", "waits", "money", "work", "rest")
MUTANTS: Final = (
    _(
        "no replay",
        "usecases.rebuild:Rebuilder._replay",
        "count = 0",
        "return 0",
        "a rebuild decides what the log holds and Redis has no record of",
        ("waits", "told", "healing", "rest"),
    ),
    _(
        "lost charge is refused",
        "usecases.checkout:Checkout.pay",
        "charge = await self._payments.lookup(attempt.key)",
        "charge = Charge(ChargeState.REFUSED)",
        "a charge whose answer was lost is looked up",
        ("money",),
    ),
    _(
        "void is assumed",
        "usecases.checkout:Checkout.settle_stale",
        "await self._payments.void(attempt.key)",
        "Charge(ChargeState.VOIDED)",
        "a stale payment is voided at the provider, who may say that it was charged",
        ("money",),
    ),
    _(
        "late money is kept",
        "usecases.checkout:Checkout._capture",
        "await self._payments.refund(attempt.key)",
        "pass",
        "a charge whose hold has ended is given back",
        ("money",),
        second=True,  # the provider voids, and never charges what it voided
    ),
    _(
        "refund has no mail",
        "usecases.checkout:Checkout._capture",
        "await retry_unknown(lambda: self._attempts.mark_refunded(attempt.key, now_ms))",
        "pass",
        "a buyer is told of money that was given back",
        ("money",),
        second=True,  # as above
    ),
    _(
        "stale payments stay",
        "workers.scheduler:Scheduler._stale_payments",
        "await self._parts.checkout.settle_stale(before_ms)",
        "0",
        "a payment that never ends is settled by the scheduler",
        ("rest", "money", "waits"),
    ),
    _(
        "run id is not compared",
        "usecases.settlement:Settlement._why_rebuild",
        "if not reading.genuine:",
        "if False:",
        "a Redis that restarted is rebuilt",
        ("waits", "rest"),
    ),
    _(
        "lost sales stay lost",
        "usecases.settlement:Settlement._why_rebuild",
        'return "arming" if terms.epoch == 0 else "the store lost its state"',
        'return "arming" if terms.epoch == 0 else ""',
        "a Redis that lost a sale is rebuilt",
        ("waits", "rest", "healing"),
    ),
    _(
        "unsynced rows stay",
        "usecases.release:Release.finish_unsynced",
        "rows = await self._holds.unsynced(SWEEP_MAX)",
        "rows = []",
        "rows that a crash left untold are told to Redis",
        ("rest", "waits", "healing"),
    ),
    _(
        "synced before told",
        "usecases.release:Release.tell",
        "await self._announcer.holds(holds)",
        "await self._holds.mark_synced([h.rid for h in holds], holds[0].state)\n"
        "    await self._announcer.holds(holds)",
        "a row is marked synced after Redis was told",
        ("healing", "waits"),
    ),
    _(
        "left-over grants stay",
        "usecases.promote:Promoter.grant_left_over",
        "if not left:",
        "if True:",
        "holds whose consumer died between Redis and SQL are granted",
        ("waits",),
    ),
    _(
        "nobody sweeps",
        "usecases.release:Release.sweep",
        "due = _by_sale(await self._holds.due(self._clock.now_ms(), SWEEP_MAX))",
        "due = {}",
        "the sweep ends what a lost reminder left",
        ("waits",),
    ),
    _(
        "told before SQL",
        "usecases.allocate:Allocator._finish",
        "try:\n        if winners:",
        "told += [Result(sale_id, w.user_id, w.rid, State.HELD, w.version) for w in winners]\n"
        "    try:\n        if winners:",
        "nobody is told of a hold before SQL has it",
        ("told",),
    ),
    _(
        "a place is enough",
        "usecases.query:Query._place",
        "return await self._row(row) if row else self._bare(State.QUEUED, 0, place.rid)",
        "return await self._row(row) if row else self._bare(State.HELD, place.version, place.rid)",
        "a hold that SQL does not know reads queued",
        ("told",),
    ),
    _(
        "a refused batch is let go",
        "usecases.allocate:Allocator.handle",
        "todo = [b for b, a in both if isinstance(a, Refusal)] + todo[len(asked) :]",
        "todo = todo[len(asked) :]",
        "a batch is acknowledged when it is decided",
        ("waits", "healing", "rest"),
    ),
    _(
        "an error lets a batch go",
        "usecases.allocate:Allocator.handle",
        "answers = await self._store.decide_many(sale_id, epoch, asked)",
        "try:\n"
        "            answers = await self._store.decide_many(sale_id, epoch, asked)\n"
        "        except Fault:\n"
        "            return",
        "a batch whose decision failed is not acknowledged",
        ("waits", "healing", "rest"),
    ),
    _(
        "202 without a confirm",
        "publisher.batcher:Batcher._deliver",
        'self._counters["publish_unknown"] += 1\n    except Overloaded:',
        'return ""\n    except Overloaded:',
        "a press is accepted when the broker has confirmed it",
        ("waits",),
    ),
    _(
        "202 while the broker is away",
        "publisher.batcher:Batcher._deliver",
        'except Fault:\n        self._counters["publish_failed"] += 1',
        'except Fault:\n        return ""',
        "a press is refused when the broker is away",
        ("waits",),
    ),
    _(
        "rows say nothing of the log",
        "usecases.newest:Newest.answered",
        "return found",
        "return []",
        "a request whose buyer has a later row is not decided again",
        ("always", "told", "healing", "rest", "money"),
        second=True,  # a grant passes over rows that exist, and ends what has ended
    ),
    _(
        "ungranted holds stay",
        "usecases.merging:Merging.return_ungranted",
        "cursor = 0",
        "return",
        "a rebuild puts holds that SQL never granted back in line",
        ("always", "told", "healing", "waits"),
    ),
    _(
        "rows are not merged",
        "usecases.merging:Merging._merge",
        "await self._write(places, merged)",
        "pass",
        "a rebuild gives every buyer with a row the place that follows",
        ("always", "told", "healing", "rest"),
    ),
    _(
        "a rebuild ends a pause",
        "usecases.rebuild:Rebuilder._rebuild",
        'phase = "paused" if terms.phase is Phase.PAUSED else "open"',
        'phase = "open"',
        "a paused sale is paused after its rebuild",
        ("waits",),
    ),
    _(
        "less stock, no rebuild",
        "usecases.control:Control.stock",
        "if terms.phase is not Phase.DRAFT:",
        "if False:",
        "Redis is rebuilt after the stock was lowered",
        ("healing",),
        second=True,
    ),
    _(
        "more stock is not told",
        "usecases.control:Control.catch_up",
        "if reading.stock < terms.stock:",
        "if False:",
        "a raised stock that Redis missed is told again",
        ("waits", "healing", "rest"),
    ),
    _(
        "a phase is not told again",
        "usecases.control:Control.catch_up",
        "if told != (stored_phase(terms), terms.closes_at_ms):",
        "if False:",
        "a phase that Redis missed is told again",
        ("waits", "healing", "rest"),
    ),
    _(
        "catch up by old terms",
        "usecases.control:Control.catch_up",
        "latest = await self._sales.terms(terms.sale_id)",
        "latest = terms",
        "what Redis is told was read of SQL after Redis was read",
        ("healing",),
    ),
    _(
        "heal by old terms",
        "usecases.settlement:Settlement.heal",
        "latest = await self._sales.terms(terms.sale_id)",
        "latest = terms",
        "a sale is rebuilt by terms that were read after Redis was",
        ("healing", "rest"),
    ),
    _(
        "close by old terms",
        "usecases.control:Control.close_sold_out",
        "if_sold_out=True",
        "if_sold_out=False",
        "a sale is closed as sold out if it is so at that moment",
        ("healing",),
    ),
    _(
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
    ),
    _(
        "settled while it sells",
        "usecases.settlement:Settlement._drained",
        "reading = await self._store.reading(terms.sale_id)",
        "return True\n    reading = None",
        "a sale is settled when nothing of it is open",
        ("waits", "rest", "told", "healing"),
    ),
    _(
        "a mail is marked first",
        "usecases.mail_queue:MailQueue.deliver",
        "item, recipient = found",
        "item, recipient = found\n    await self._outbox.mark_sent(item.id, self._clock.now_ms())",
        "a mail is marked sent when it was sent",
        ("money",),
    ),
    _(
        "clocks are believed",
        "usecases.clock_watch:ClockWatch._freeze",
        "frozen = 0",
        "return",
        "a store whose clock was set ends no hold",
        ("waits", "told", "always"),
    ),
    _(
        "a loss waits for a person",
        "usecases.audit:_thing",
        "if difference.key == LOST or (named and",
        "if (named and",
        "a loss of the whole state is mended by a rebuild, however often",
        ("healing",),
    ),
    _(
        "a settled sale stays in Redis",
        "usecases.settlement:Settlement.forget_settled",
        "settled = await self._sales.settled_ids(FORGET_MAX)",
        "settled = []",
        "what a settled sale left in Redis is dropped",
        ("rest",),
    ),
    _(
        "mails are not relayed again",
        "usecases.mail_queue:MailQueue.relay",
        "if items:",
        "if False:",
        "every event has its mail",
        ("money",),
    ),
)


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """Within, the rule is broken. Raises LookupError if the code does not have it."""
    path, _, name = mutant.where.partition(":")
    module = importlib.import_module(f"miaosha.{path}")
    owner: Any = module
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    whole = owner.__dict__[last]
    source = textwrap.dedent(inspect.getsource(whole))
    if source.count(mutant.old) != 1:
        raise LookupError(f"{mutant.where} has {source.count(mutant.old)} times: {mutant.old}")
    made: dict[str, Any] = {}
    code = compile(source.replace(mutant.old, mutant.new), inspect.getfile(whole), "exec")
    exec(code, module.__dict__, made)  # noqa: S102 (our own source)
    setattr(owner, last, made[last])
    try:
        yield
    finally:
        setattr(owner, last, whole)
