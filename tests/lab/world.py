"""World: one history of the laboratory, from a seed or a record to a verdict.

A shop is set up in peace. Then people buy, staff work, and faults happen, for SALE_S. Then faults
end, the platform comes to rest, and the oracles have the last word.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from miaosha.adapters.sql.catalogue import SqlCatalogue
from miaosha.domain.allocation import Allocation
from miaosha.settings import Settings
from tests.lab.broker import LabBroker
from tests.lab.broker_server import BrokerServer
from tests.lab.cast import ROLES
from tests.lab.dice import Dice, Record, Row
from tests.lab.entropy import UNIX_MS, drawn_from
from tests.lab.faults import HEALED_S, SLOWEST_S, Mishap, Reach, Weather
from tests.lab.hearing import heard
from tests.lab.link import straight
from tests.lab.loop import BEGAN_S, Deadlock, NumberedTask, ThreadRefused, VirtualLoop
from tests.lab.misfortunes import Misfortunes
from tests.lab.oracles.court import Finding, Oracles
from tests.lab.patience import HUNG_S, Patience
from tests.lab.people import Buyer, Kind
from tests.lab.plan import Plan, plan_of
from tests.lab.process import ConnectionEnded, Process
from tests.lab.provider import BusServer, MailServer, ProviderServer
from tests.lab.sql import LabDatabase, SqlServer
from tests.lab.staff import Staff
from tests.lab.store_server import StoreServer

DONE: Final = "done"  # of a call that nothing befell
READY_S: Final = 10.0
CALLS_A_REBUILD: Final = 30
PLENTY: Final = 0.15  # of histories, in which a sale has more than anybody wants
PARTING: Final = ("store.", "sql.", "broker.", "reader.", "queue.")  # calls that keep stores apart
UNINVOLVED: Final = ("mailer", "gateway")  # roles that write nothing of a sale
STEADY_S: Final = 4.0  # a scheduler looks twice a second; what it began ends
MAILED_S: Final = 690.0  # until the last mail is sent: a lost one is queued again after ten minutes
DISTURBED_S: Final = SLOWEST_S + 8.0  # a call that is stuck, and what waits for it
LINGERS: Final = 0.25  # of dead clients: a server finds out late
REST_S: Final = 240.0  # to come to rest, once faults have ended
WAITING_MAILS: Final = "SELECT DISTINCT state FROM outbox WHERE state != 'sent'"
SETTINGS: Final = Settings(
    database_url="sqlite:///lab",
    secret_keys="",
    lease_ms=4_000,
    payment_max_s=12,
    extend_by_s=6,
    reclaim_after_ms=2_000,
    ungranted_after_ms=1_500,
    confirm_timeout_ms=2_000,
    audit_interval_s=10,
    clock_believe_s=8,
    reading_interval_ms=1_000,
    reading_max_age_ms=2_500,
    live_sales_max=10,
)


class Verdict(msgspec.Struct):
    """What became of one history."""

    seed: int
    digest: str
    findings: list[Finding]
    faults: dict[str, int]
    counts: dict[str, int]
    covered: dict[str, int]
    record: Record
    trace: list[tuple[float, str, str]]


@dataclass
class World:
    seed: int
    told: Mapping[str, Sequence[int]] | None = None
    tracing: bool = False
    shape: Mapping[str, Any] = field(default_factory=dict)  # fields of the plan that are given
    loop: VirtualLoop = field(default_factory=VirtualLoop)

    def __post_init__(self) -> None:
        self.dice = Dice(self.seed, self.told)
        plan = plan_of(self.dice.row("plan"))
        if self.dice.row("plenty").chance(PLENTY):
            first = replace(plan.sales[0], stock=len(plan.people) + 2)
            plan = replace(plan, sales=(first, *plan.sales[1:]))
        self.plan: Plan = replace(plan, **self.shape)
        self.settings = SETTINGS
        self.clock_ahead_ms = 0
        self.finished = False  # nobody is told anything any more
        self.closing = False  # nobody presses any more
        self.weather = Weather(
            self.plan.rate, list(self.plan.mishaps), self.plan.moment_s, self.plan.focus
        )
        self.weather.over = True
        self.reach = Reach()
        self.patience = Patience(self.plan.log_kind, SETTINGS.confirm_timeout_ms / 1000)
        self.counts: Counter[str] = Counter()
        self.covered: dict[tuple[str, Mishap | None], int] = {}
        self.trace: list[tuple[float, str, str]] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._processes: dict[str, list[Process]] = defaultdict(list)
        self._starts = 0
        self.calm_s: float | None = None  # since when faults are over
        self._quiet_s = 0.0
        self.gone_s = 0.0  # when a process died last
        self._event_s = 0.0  # when something happened to a server or a process last
        self._started_s: dict[str, float] = {}
        self._mishap_s: dict[str, float] = {}
        self._machines: dict[str, tuple[float, float]] = {}
        self._forsaken: list[LabBroker] = []  # of processes whose machine died with them
        self._homeless: list[asyncio.Task[Any]] = []
        self.oracles = Oracles(self)

    # what processes ask of it

    def now_ms(self) -> int:
        """The store's clock, which somebody may set."""
        return UNIX_MS + int(self.loop.time() * 1000) + self.clock_ahead_ms

    def noted(self, process: Process, call: str, mishap: Mishap | None) -> None:
        """A call is about to be done, or something befell it."""
        self.counts["calls"] += 1
        at_s = self.loop.time() - BEGAN_S
        befell = b"" if mishap is None else mishap.encode()
        self._digest.update(b"%.6f %s %s %s\n" % (at_s, process.code, call.encode(), befell))
        covered = self.covered
        covered[call, mishap] = covered.get((call, mishap), 0) + 1
        if mishap:
            self.oracles.befell(process)
            self._disturbed(process, parts=call.startswith(PARTING) or mishap is Mishap.CUT)
        if self.tracing or mishap:
            self.trace.append((at_s, process.name, f"{call} {mishap or ''}"))
        self.oracles.calls(process, call, again=mishap is Mishap.TWICE)

    def stuck(self, process: Process, call: str) -> None:
        """A call was sent, and will be on its way for long. It is noted when it arrives."""
        self._disturbed(process, parts=call.startswith(PARTING))

    def _disturbed(self, process: Process, *, parts: bool) -> None:
        """Something befell a call of this process; it may keep two stores apart."""
        self._mishap_s[process.name] = self.loop.time()
        if parts:
            self.happened(DISTURBED_S)

    def say(self, who: str, what: str) -> None:
        """A line of the trace."""
        at_s = self.loop.time() - BEGAN_S
        self.trace.append((at_s, who, what))
        self._digest.update(f"{at_s:.6f} {who} {what}\n".encode())

    def drops(self, row: Row) -> bool:
        """Whether the bus loses a message."""
        return not self.weather.over and row.chance(self.plan.rate)

    def later(self, after_s: float, work: Callable[..., Any], *args: Any) -> None:
        """Run it then, in no process."""
        self.loop.call_later(after_s, work, *args, context=Context())

    # processes

    def pick(self, role: str, row: Row) -> Process | None:
        """One that is ready to be asked; None: none is."""
        ready = [process for process in self._processes[role] if process.parts is not None]
        return row.among(ready) if ready else None

    def living(self) -> list[Process]:
        return [p for role in self._processes.values() for p in role if p.alive]

    def leader(self) -> Process | None:
        """The scheduler that leads; None: none does, or two think they do."""
        leading = [p for p in self._processes["scheduler"] if p.counters["leading"] and p.alive]
        return leading[0] if len(leading) == 1 else None

    def machine_of(self, name: str) -> tuple[float, float]:
        """How far the clock of this process's machine is ahead (s), and how much too fast."""
        found = self._machines.get(name)
        if found is None:
            row, plan = self.dice.row("machines"), self.plan
            ahead_s, fast = (
                row.span(0.0, most) * (1 - 2 * row.below(2)) for most in (plan.skew_s, plan.drift)
            )
            found = self._machines[name] = (ahead_s, fast)
        return found

    def stall(self, process: Process, seconds: float) -> None:
        """Nothing of it runs for so long. A broker that hears nothing of it takes it for gone."""
        self.say(process.name, f"stalls for {seconds:.1f} s")
        self.loop.stall(process, seconds)
        self._mishap_s[process.name] = self.loop.time() + seconds
        self.happened(seconds + HEALED_S + 2 * self.settings.lease_ms / 1000)
        if process.broker is not None and seconds > HUNG_S:
            self.later(HUNG_S, self._hung, process)

    def _hung(self, process: Process) -> None:
        if process.held is not None and process.broker is not None:
            self.broker.disconnect(process.broker)

    def start(self, role: str, number: int) -> Process:
        self._starts += 1
        process = Process(self, role, number, self._starts)
        self._processes[role].append(process)
        self._started_s[process.name] = self.loop.time()
        self.say(process.name, "starts")
        process.begin(ROLES[role])
        return process

    def gone(self, process: Process, how: str) -> None:
        """It is dead; another is started in a while, unless it has a successor."""
        self.oracles.befell(process)
        self.say(process.name, how)
        self.gone_s = self.loop.time()
        self.counts[how] += 1
        self.counts[f"gone {process.role}"] += 1
        if process.role not in UNINVOLVED:
            self.happened(HEALED_S + 2 * self.settings.lease_ms / 1000)  # it may have led
        role = self._processes[process.role]
        role.remove(process)
        if process.broker is not None:
            self._disconnected(process.broker, 0.0 if how == "drained" else self.lingers_s())
        if not any(other.number == process.number for other in role) and not self.finished:
            wait_s = self.dice.row("supervisor").span(0.2, 3.0)
            self.later(wait_s, self._start_again, process.role, process.number)

    def lingers_s(self) -> float:
        """Seconds until a server finds out that a client is gone. Mostly at once: a machine that
        lives ends the connections of its dead."""
        row = self.dice.row("connections")
        if self.weather.over or not row.chance(LINGERS):
            return 0.0
        after_s = row.span(0.0, HUNG_S)
        self.happened(HEALED_S + after_s)
        return after_s

    def _disconnected(self, broker: LabBroker, after_s: float) -> None:
        if after_s > 0:
            self._forsaken.append(broker)
            self.later(after_s, self.broker.disconnect, broker)
        else:
            self.broker.disconnect(broker)

    def _end_forsaken(self) -> None:
        """Servers find out whose connections are dead."""
        for broker in self._forsaken:
            self.broker.disconnect(broker)
        self._forsaken = []
        self.broker.end_forsaken()

    def _start_again(self, role: str, number: int) -> None:
        if not any(other.number == number for other in self._processes[role]):
            self.start(role, number)

    # what oracles and staff look up

    def passed_s(self) -> float:
        """Seconds since the history began."""
        return self.loop.time() - BEGAN_S

    def allocation(self, sale_id: int) -> Allocation | None:
        """What Redis has of a sale."""
        return self.store.sales.get(sale_id)

    def genuine(self, sale_id: int) -> bool:
        """Whether Redis has been the same process since the sale was written."""
        sale = self.store.sales.get(sale_id)
        return sale is not None and sale.run_id == self.store.run_id

    def happened(self, lasts_s: float) -> None:
        """Something happened that may keep two stores apart for so long."""
        lasts_s += CALLS_A_REBUILD * 2 * self.plan.moment_s
        self._quiet_s = max(self._quiet_s, self.loop.time() + lasts_s)

    def event(self) -> None:
        """Something happened to a server or a process."""
        self._event_s = self.loop.time()

    def quiet(self) -> bool:
        """Whether nothing has happened for so long that whatever it parted is whole again."""
        return self.loop.time() >= self._quiet_s

    def steady(self, name: str) -> bool:
        """Whether this process has met nothing for so long that it has seen to everything."""
        now_s = self.loop.time()
        mishap_s = self._mishap_s.get(name, 0.0) + SLOWEST_S + STEADY_S
        away = [until for of, until in self.reach.away.items() if "/" not in of or _of(of, name)]
        away_s = max(away, default=0.0) + HEALED_S
        start_s = max(self._started_s.get(name, 0.0), self._event_s) + 2 * STEADY_S
        return now_s > max(mishap_s, away_s, start_s)

    def stock(self, sale_id: int) -> int:
        return int(self.sql.ask("SELECT stock FROM ledger WHERE sale_id = ?", sale_id)[0][0])

    def phase(self, sale_id: int) -> str:
        return str(self.sql.ask("SELECT phase FROM sales WHERE id = ?", sale_id)[0][0])

    # the history

    def run(self) -> Verdict:
        """Live through it. Findings are in the verdict, never raised."""
        self.store = StoreServer(self.now_ms)
        self.broker = BrokerServer(self.plan.log_kind, lingers_s=self.lingers_s)
        self.sql, self.bus = SqlServer(), BusServer()
        self.provider, self.mail = ProviderServer(), MailServer()
        self.catalogue = SqlCatalogue(LabDatabase(self.sql, straight))
        with heard(self):
            try:
                with drawn_from(self.dice, self.loop):
                    self._live()
            finally:
                verdict = self._verdict()
                self.loop.abandon()
                self.sql.close()
        return verdict

    def _verdict(self) -> Verdict:
        return Verdict(
            self.seed,
            self._digest.hexdigest(),
            self.oracles.findings,
            _named(self.weather.happened),
            {**self.counts, **{f"move {move}": n for move, n in self.oracles.moves.items()}},
            {f"{call}|{mishap or DONE}": n for (call, mishap), n in self.covered.items()},
            self.dice.record,
            self.trace,
        )

    def _live(self) -> None:
        self.loop.set_exception_handler(self._unheard)
        try:
            self.loop.run_until_complete(self._history())
        except Deadlock:
            self.oracles.find("rest", "a deadlock: nobody is ready, and no timer runs")
        except ThreadRefused:
            self.oracles.find("rest", "somebody asked for a thread")
        except Exception as error:
            self.oracles.broken("laboratory", error)
            if self.tracing:
                raise
        self.counts["turns"] = self.loop.turns
        self.counts["units"] = self.sql.units

    def _unheard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would log. Who waited for a future may have been killed meanwhile."""
        whose = context.get("task") or context.get("future")
        if isinstance(whose, NumberedTask):
            if whose.life is not None and not whose.life.alive:
                return
        elif whose is not None:
            return
        error = context.get("exception") or RuntimeError(context.get("message"))
        self.oracles.broken("somebody", error)

    async def _history(self) -> None:
        plan = self.plan
        for role in ROLES:
            for number in range(plan.each[role]):
                self.start(role, number)
        await self._until(lambda: all(self._ready(role) for role in ROLES), READY_S)
        staff = Staff(self, list(plan.acts))
        sales = [await staff.make_sale(s.stock, s.standby, s.pay_within_s, 2.0) for s in plan.sales]
        self.oracles.sales = sales
        self.weather.over = False
        self._homeless.append(self.loop.create_task(self.oracles.look_on()))
        ends_s = self.loop.time() + plan.sale_s
        people = self._people(sales)
        work = [self.loop.create_task(buyer.live()) for buyer in people]
        listening = [self.loop.create_task(buyer.listen()) for buyer in people]
        around = [self.loop.create_task(staff.work(sale_id, ends_s)) for sale_id in sales] + [
            self.loop.create_task(self._webhooks())
        ]
        misfortunes = Misfortunes(self, sales)
        bad_luck = self.loop.create_task(misfortunes.happen(ends_s))
        await asyncio.sleep(plan.sale_s)
        await bad_luck
        await self._calm(staff, sales)
        await asyncio.wait([*work, *around[:-1]], timeout=60)
        self.finished = True
        for buyer, visit in zip(people, work, strict=True):
            if not visit.done():
                self.oracles.unanswered(buyer)
        for task in [*work, *listening, *around, *self._homeless]:
            task.cancel()
        await self.oracles.rest()

    def _people(self, sales: list[int]) -> list[Buyer]:
        row = self.dice.row("people")
        people = []
        for id_, kind in enumerate(self.plan.people, 1):
            buyer = Buyer(self, id_, Kind(kind), row.among(sales))
            people.append(buyer)
        self.oracles.people = people
        return people

    async def _calm(self, staff: Staff, sales: list[int]) -> None:
        """Faults end. What staff left is put right, and every sale ends and is settled."""
        self.weather.over = True
        self.reach.away.clear()
        self.mail.refuses = False
        self._end_forsaken()
        for process in self.living():
            process.resume()
        self.say("laboratory", "calm")
        self.calm_s = self.loop.time()
        for sale_id in sales:
            await staff.resume(sale_id)
        await asyncio.sleep(self.plan.calm_s)
        self.closing = True
        for sale_id in sales:
            while self.now_ms() < self._terms_ms(sale_id) and self.phase(sale_id) != "settled":
                await staff.close(sale_id)
                await asyncio.sleep(0.5)
        settled = await self._until(
            lambda: all(self.phase(sale_id) == "settled" for sale_id in sales), REST_S
        )
        self.oracles.settled(settled)
        await self._mailed(staff)
        await asyncio.sleep(5.0)  # boards, and what a settled sale leaves behind

    async def _mailed(self, staff: Staff) -> None:
        """Until each mail is sent. One that was refused is put back by a person."""
        ends_s = self.loop.time() + MAILED_S
        while self.loop.time() < ends_s:
            waiting = {state for (state,) in self.sql.ask(WAITING_MAILS)}
            if not waiting:
                return
            if "parked" in waiting and self.mail.refused:
                await staff.redrive_mails()
            await asyncio.sleep(0.1)

    def _terms_ms(self, sale_id: int) -> int:
        return int(self.sql.ask("SELECT closes_at_ms FROM sales WHERE id = ?", sale_id)[0][0])

    async def _until(self, condition: Callable[[], bool], within_s: float) -> bool:
        ends_s = self.loop.time() + within_s
        while not condition():
            if self.loop.time() >= ends_s:
                return False
            await asyncio.sleep(0.1)
        return True

    def _ready(self, role: str) -> bool:
        return sum(p.parts is not None for p in self._processes[role]) >= self.plan.each[role]

    async def _webhooks(self) -> None:
        """The provider tells: late, twice, or both."""
        row = self.dice.row("webhooks")
        while True:
            await asyncio.sleep(0.2)
            keys, self.provider.webhooks = self.provider.webhooks, []
            for key in keys:
                for _ in range(1 + row.below(2)):
                    after_s = row.span(0.0, 4.0)
                    self.later(after_s, self._tell, key, 0)

    def _tell(self, key: str, tries: int) -> None:
        task = self.loop.create_task(self._complete(key, tries), context=Context())
        self._homeless.append(task)

    async def _complete(self, key: str, tries: int) -> None:
        process = self.pick("api", self.dice.row("webhooks"))
        try:
            if process is None:
                raise ConnectionEnded("no api")
            await process.ask(lambda desk: desk.checkout.complete(key), 5.0)
        except Exception as error:
            self.oracles.refused_webhook(key, error)
            if tries < 5:
                self.later(1.0 + tries, self._tell, key, tries + 1)


def _of(way: str, name: str) -> bool:
    """Whether it is the way of this process to a server."""
    return way.partition("/")[0] == name


def _named(happened: Mapping[tuple[str, Mishap], int]) -> dict[str, int]:
    return {f"{call} {kind}": count for (call, kind), count in sorted(happened.items())}
