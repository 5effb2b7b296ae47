"""Allocation: accepted batches go through decide → grant → announce → `granted` → acknowledge.

The order makes a death between any two lines harmless. Decide is recorded with the batch, grant
passes over rows that exist, and nobody is told "held" before SQL committed. A redelivered batch
walks the same path and finds everything done.
"""

import asyncio
from collections import Counter
from collections.abc import MutableMapping, Sequence

import structlog

from miaosha.domain.allocation import Decision, Refusal, outcome
from miaosha.domain.errors import Fault
from miaosha.domain.messages import Batch, Result
from miaosha.domain.place import Letter, Outcome
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase
from miaosha.ports.holds import GrantRefusal, Hold, Holds, Winner
from miaosha.ports.sale_terms import SaleTerms
from miaosha.ports.store import Decisions
from miaosha.usecases.announce import Announcer
from miaosha.usecases.grant import Granter

POLL_S = 0.1  # how often a waiting consumer looks whether the sale goes on
WON = frozenset({Letter.HELD, Letter.STANDBY})

log = structlog.get_logger()


class Allocator:
    """The consumer's work for one group of batches of one sale."""

    def __init__(
        self,
        sales: SaleTerms,
        holds: Holds,
        store: Decisions,
        granter: Granter,
        announcer: Announcer,
        counters: MutableMapping[str, float],
    ) -> None:
        self._sales = sales
        self._holds = holds
        self._store = store
        self._granter = granter
        self._announcer = announcer
        self._counters = counters
        self._epochs: dict[int, int] = {}

    async def handle(self, batches: Sequence[Batch]) -> None:
        """Returns once every request has its outcome and every winner is in SQL, or waits for it
        on `ungranted` while SQL is away.

        A sale that is paused, frozen or being rebuilt is waited for, its batches unacknowledged.
        """
        todo = list(batches)
        waiting = False
        while todo:
            sale_id = todo[0].sale_id
            epoch = await self._epoch(sale_id)
            if epoch is None:
                await self._over(todo)
                return
            asked = todo[:1] if waiting else todo  # while it waits, one batch is poll enough
            answers = await self._store.decide_many(sale_id, epoch, asked)
            both = list(zip(asked, answers, strict=True))
            decided = [(b, answer) for b, answer in both if isinstance(answer, Decision)]
            refused = [answer for answer in answers if isinstance(answer, Refusal)]
            done = not decided or await self._finish(sale_id, epoch, decided)
            if done:
                todo = [b for b, a in both if isinstance(a, Refusal)] + todo[len(asked) :]
            waiting = bool(refused) or not done
            if waiting:
                await self._wait(sale_id, refused)

    async def _epoch(self, sale_id: int) -> int | None:
        """The epoch last read from the ledger; None for a sale that is settled or unknown."""
        if sale_id not in self._epochs:
            terms = await self._sales.terms(sale_id)
            if terms is None or terms.phase is Phase.SETTLED:
                return None
            self._epochs[sale_id] = terms.epoch
        return self._epochs[sale_id]

    async def _wait(self, sale_id: int, refused: Sequence[Refusal]) -> None:
        self._counters["waits"] += 1
        self._epochs.pop(sale_id, None)  # read again: it may have moved
        if Refusal.RUN_ID in refused:
            log.warning("store_lost", sale_id=sale_id)
        await asyncio.sleep(POLL_S)

    async def _finish(
        self, sale_id: int, epoch: int, decided: Sequence[tuple[Batch, Decision]]
    ) -> bool:
        """Grant winners and tell everybody. False: the grant was refused, decide again.

        A grant that failed is not waited for. Its winners are on `ungranted` in Redis, from where
        the scheduler grants them. The batch stays in the log.
        """
        winners: list[Winner] = []
        told: list[Result] = []
        elsewhere: list[str] = []
        for batch, decision in decided:
            for index, user in enumerate(batch.user_ids):
                sign = decision.letters[index]
                if sign == Letter.SOLD_OUT:  # most of a rush: nothing to look up
                    told.append(Result(sale_id, user, batch.rid(index), State.SOLD_OUT, 0))
                    continue
                letter = Letter(sign)
                result = outcome(letter, batch.rid(index), decision.places[index])
                if result.state is not State.HELD:
                    told.append(_result(sale_id, user, result))
                elif letter in WON:
                    won = Winner(
                        result.rid, user, result.rank, result.version, letter is Letter.STANDBY
                    )
                    winners.append(won)
                else:
                    elsewhere.append(result.rid)
        try:
            if winners:
                granted = await self._granter.grant(sale_id, epoch, winners)
                if isinstance(granted, GrantRefusal):
                    return False
            if elsewhere:
                await self._announcer.holds(await self._known(elsewhere))
        except Fault as error:  # SQL is away: deciding goes on, winners wait on `ungranted`
            self._counters["grants_later"] += len(winners)
            log.warning("grant_later", sale_id=sale_id, winners=len(winners), error=str(error))
            winners = []
        await self._announcer.results(told)
        self._count(decided, len(winners))
        return True

    async def _known(self, rids: Sequence[str]) -> list[Hold]:
        """Rows of holds that another request of the same buyer won: told only if SQL has them."""
        return list((await self._holds.by_rid(rids)).values())

    def _count(self, decided: Sequence[tuple[Batch, Decision]], winners: int) -> None:
        self._counters["batches"] += len(decided)
        self._counters["granted"] += winners
        for batch, decision in decided:
            self._counters["decided"] += len(batch.user_ids)
            self._counters["redelivered"] += not decision.fresh
            log.debug(
                "decided",
                sale_id=batch.sale_id,
                batch_id=batch.batch_id,
                again=not decision.fresh,
                **{Letter(sign).name.lower(): n for sign, n in Counter(decision.letters).items()},
            )

    async def _over(self, batches: Sequence[Batch]) -> None:
        """Requests in late batches of a settled sale get `closed`; the batches are acknowledged."""
        for batch in batches:
            await self._announcer.results(
                [
                    Result(batch.sale_id, user, batch.rid(i), State.CLOSED, 0)
                    for i, user in enumerate(batch.user_ids)
                ]
            )


def _result(sale_id: int, user_id: int, result: Outcome) -> Result:
    return Result(sale_id, user_id, result.rid, result.state, result.version)
