"""A sale on running machines, its crowd on all of their edges, its judgement, and a probe: it tells
for how long nobody could purchase.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from miaosha import bootstrap
from miaosha.adapters.sql.engine import open_database
from miaosha.bootstrap import ApiParts
from miaosha.domain.errors import MiaoshaError
from miaosha.settings import Settings
from miaosha.trials import checker, sample_sale
from miaosha.trials.crowd import crowd_processes
from miaosha.trials.crowd.crowd_plan import CrowdPlan, View
from miaosha.trials.crowd.crowd_processes import CrowdProcesses
from miaosha.trials.crowd.http_client import Http
from tests.kit.running import Up

PRESS_EVERY_S = 0.2
OPENS_IN_S = 2.0
SETTLED_WITHIN_S = 200.0
DECIDED_WITHIN_S = 60.0
UNDECIDED = ("queued", "none", "")
SERVED = ("202", "not_open", "closed")


class Size(NamedTuple):
    """rush_s: mean seconds from the opening to a buyer's first press."""

    crowd: int
    stock: int
    rush_s: float
    open_for_s: float
    pay_within_s: int = 4

    @property
    def probes(self) -> int:
        return int((OPENS_IN_S + self.open_for_s) / PRESS_EVERY_S)


class Press(NamedTuple):
    """sent_s: loop time. name: "202", or what came instead ("0": no answer). rid: of a 202."""

    sent_s: float
    answered_s: float
    name: str
    buyer: int
    rid: str


class Probe:
    """A new buyer presses every PRESS_EVERY_S, at one edge after another; when one edge takes no
    connection, the press goes to the next, as a load balancer would send it."""

    def __init__(
        self, sale: sample_sale.SampleSale, edges: list[tuple[str, int]], tokens: list[str]
    ):
        self.sale = sale
        self._edges = edges
        self._tokens = tokens
        self._answers: list[str] = []
        self.presses: list[Press] = []

    def _http(self, buyer: int) -> Http:
        at = buyer % len(self._edges)
        http = Http(*self._edges[at], "127.0.0.1", self._edges[at + 1 :] + self._edges[:at])
        http.token = self._tokens[buyer]
        return http

    async def prepare(self) -> None:
        """Learn each buyer's question before anything goes wrong."""
        for buyer in range(len(self._tokens)):
            http = self._http(buyer)
            while True:
                got = await http.request("GET", f"/api/v1/sales/{self.sale.sale_id}/question")
                if got.status == 200:
                    break
                await asyncio.sleep(0.2)
            http.close()
            self._answers.append(self.sale.right[got.body["id"]])
        for buyer in range(len(self._edges)):  # each publisher has heard of the sale
            await self._press(buyer)
            while self.presses[-1].name == "not_found":
                self.presses.pop()
                await self._press(buyer)

    async def run(self) -> None:
        """Until cancelled, or out of buyers, or the sale is over."""
        async with asyncio.TaskGroup() as group:
            for buyer in range(len(self._edges), len(self._tokens)):
                if self.presses and self.presses[-1].name == "closed":
                    return
                group.create_task(self._press(buyer))
                await asyncio.sleep(PRESS_EVERY_S)

    async def _press(self, buyer: int) -> None:
        loop = asyncio.get_running_loop()
        http = self._http(buyer)
        sent_s = loop.time()
        path, body = (
            f"/api/v1/sales/{self.sale.sale_id}/purchases",
            {"answer": self._answers[buyer]},
        )
        got = await http.request("POST", path, body)
        http.close()
        rid = got.body["request_id"] if got.status == 202 else ""
        self.presses.append(Press(sent_s, loop.time(), got.name, buyer, rid))

    def gaps_s(self) -> list[float]:
        """How long it lasted each time from the first press that was refused to the next one that
        was not, in the order they were sent."""
        gaps, since = [], None
        for press in sorted(self.presses):
            if press.name in SERVED:
                if since is not None:
                    gaps.append(press.sent_s - since)
                since = None
            elif since is None:
                since = press.sent_s
        return gaps

    def refusals(self) -> dict[str, int]:
        names = [press.name for press in self.presses if press.name not in SERVED]
        return {name: names.count(name) for name in sorted(set(names))}

    async def outcomes(self) -> list[str]:
        """The state of every 202, once none is undecided; fails if one stays so."""
        found = []
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DECIDED_WITHIN_S
        for press in self.presses:
            if not press.rid:
                continue
            http = self._http(press.buyer)
            path = f"/api/v1/sales/{self.sale.sale_id}/purchases/mine?request_id={press.rid}"
            state = said = ""
            while state in UNDECIDED:
                assert loop.time() < deadline, f"request {press.rid} stays {said!r}"
                got = await http.request("GET", path)
                state = got.body["state"] if got.status == 200 else ""
                said = state or got.name
                if state in UNDECIDED:
                    await asyncio.sleep(0.2)
            found.append(state)
            http.close()
        return found


class Rush:
    """The running sale."""

    def __init__(
        self, parts: ApiParts, database: str, probe: "Probe", crowd: CrowdProcesses, size: int
    ) -> None:
        self.parts = parts
        self.probe = probe
        self.crowd = crowd
        self.sale_id = probe.sale.sale_id
        self.views: list[View] = []
        self._database = database
        self._size = size

    async def accepted(self, count: int, within_s: float = 90.0) -> None:
        """Until the crowd has had so many 202s."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while self.crowd.progress.accepted < count:
            assert loop.time() < deadline, f"not within {within_s:.0f} s: {count} accepted"
            await asyncio.sleep(0.05)

    async def settled(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLED_WITHIN_S
        phase = frozen = None
        while phase != "settled":
            assert loop.time() < deadline, f"never settled: {phase}, frozen: {frozen}"
            try:
                found = await self.parts.catalogue.sale(self.sale_id)
                if found is not None:
                    phase, frozen = found.phase, found.frozen
            except MiaoshaError as error:
                frozen = str(error)
            await asyncio.sleep(0.25)

    async def judge(self) -> None:
        """Wait for the end: every 202 has one outcome, every buyer's view agrees with the ledger,
        and the audit is clean."""
        outcomes = await self.probe.outcomes()
        await self.settled()
        self.views = await self.crowd.finish()
        broken = checker.findings(await self.ledger(), self.views, self._size)
        report = await self.parts.auditor.audit(self.sale_id)
        broken += [f"{finding.invariant}: {finding.detail}" for finding in report.findings]
        assert not broken, "\n".join(broken)
        assert outcomes and any(view.accepted for view in self.views)

    async def ledger(self) -> checker.SoldRows:
        database = open_database(self._database)
        try:
            return await checker.read_ledger(database, self.sale_id)
        finally:
            await database.close()


class People(NamedTuple):
    """Accounts that may buy: the crowd's first, then the probe's. And an admin's login."""

    ids: list[int]
    tokens: dict[int, str]
    admin: sample_sale.Login


async def people_for(settings: Settings, size: Size) -> People:
    """Made ahead of the sale, for it takes as long as it takes."""
    async with bootstrap.api(settings) as parts:
        ids, tokens = await sample_sale.accounts(parts, size.crowd + size.probes)
        return People(ids, tokens, (await sample_sale.logins(parts))[0])


@asynccontextmanager
async def rush(
    home: Path,
    settings: Settings,
    ups: list[Up],
    size: Size,
    people: People,
) -> AsyncIterator[Rush]:
    """A sale that opens soon, its crowd and its probe on the edges of `ups`."""
    edges = [(up.host, up.port) for up in ups]
    ids, tokens, admin = people
    async with bootstrap.api(settings) as parts:
        sale = await sample_sale.create_sale(
            *edges[0],
            admin,
            stock=size.stock,
            opens_in_s=OPENS_IN_S,
            open_for_s=size.open_for_s,
            pay_within_s=size.pay_within_s,
            standby_limit=10
            * (size.crowd + size.probes),  # so that nobody is sold out: each press counts
        )
        crowd = crowd_processes.people(ids[: size.crowd], tokens, 0, seed=1)
        plan = CrowdPlan(*edges[0], sale.sale_id, 1, sale.right, crowd, "", size.rush_s, edges[1:])
        crowding = CrowdProcesses(plan, home)
        probe = Probe(sale, edges, [tokens[i] for i in ids[size.crowd :]])
        running = Rush(parts, settings.database_url, probe, crowding, size.crowd)
        await crowding.start(home / "crowd.log")
        await probe.prepare()
        probing = asyncio.create_task(probe.run())
        try:
            yield running
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            await crowding.stop()
