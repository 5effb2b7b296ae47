"""Demo: the platform on a fresh data directory, with a sample sale, a crowd and a report."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.engine import open_database
from miaosha.domain.errors import MiaoshaError
from miaosha.domain.freezes import waits_for_person
from miaosha.serving.screen import Screen, cell
from miaosha.settings import Settings, load
from miaosha.supervisor import data_directory
from miaosha.supervisor.servers.full_stack import URLS, Stack
from miaosha.supervisor.up import Platform, platform, stop_on_signals, unless
from miaosha.trials import checker, report, sample_sale
from miaosha.trials.crowd import crowd_processes
from miaosha.trials.crowd.crowd_plan import CrowdPlan, Visitor
from miaosha.trials.crowd.crowd_processes import CrowdProcesses
from miaosha.trials.sample_sale import Login, SampleSale
from miaosha.trials.snapshot import Snapshot, Watcher
from miaosha.trials.terminal import Terminal

if TYPE_CHECKING:
    from miaosha.bootstrap import ApiParts

SIGN_UPS = 50  # buyers who come through the real sign-up
LOOK_S = 0.25
OPEN_FOR_MIN_S = 30.0
WEEK_S = 7 * 86_400.0
SETTLED_WITHIN_S = 240.0  # after closing, before the demo says that it hangs
MAILS_WITHIN_S = 20.0
INTERRUPTED = 130
SERVERS = {
    Stack.EMBEDDED: "two Valkeys, SQLite",
    Stack.FULL: "RabbitMQ, a Valkey cluster of six, MariaDB and its replica",
}


@dataclass(frozen=True)
class Demo:
    """What was asked for; see the options of the command."""

    crowd: int
    stock: int
    opens_in_s: float
    pay_within_s: int
    exit_when_settled: bool
    port: int | None = None
    seed: int = 1
    stack: Stack = Stack.EMBEDDED

    @property
    def open_for_s(self) -> float:
        """Long enough for four rounds of buyers who do not pay; for people alone, a week."""
        if self.crowd == 0 and not self.exit_when_settled:
            return WEEK_S
        return max(OPEN_FOR_MIN_S, 4.0 * (self.pay_within_s + 3))


async def run_demo(demo: Demo) -> int:
    """Run it; the exit status. Raises StartFailed, SettingsError, InUse."""
    screen = Screen()
    stop = stop_on_signals()
    with tempfile.TemporaryDirectory(prefix="miaosha-demo-") as directory:
        settings = _settings(demo, Path(directory))
        terminal: Terminal | None = None

        def tell(text: str) -> None:
            if terminal is not None:
                terminal.note(text)
            else:
                screen.say(text)

        screen.say(f"starting {SERVERS[demo.stack]}, nginx and six roles …", style="dim")
        async with platform(settings, tell, stop, logs=True, stack=demo.stack) as running:
            if running is None:
                return INTERRUPTED
            from miaosha import bootstrap

            async with (
                bootstrap.api(running.settings) as parts,
                _reading(running.settings) as database,
            ):
                running_demo = RunningDemo(demo, screen, running, parts, database, stop)
                await running_demo.prepare()
                terminal = running_demo.terminal
                status = await running_demo.run()
            if stop.is_set():
                screen.say("draining …", style="dim")
    if stop.is_set():
        screen.say("stopped", style="dim")
    return status


@contextlib.asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[Database]:
    """Connections of the terminal's own, so that a busy platform never waits for it."""
    database = open_database(settings.database_url, connections=1)
    try:
        yield database
    finally:
        await database.close()


def _settings(demo: Demo, data: Path) -> Settings:
    """Servers of its own, whatever the environment points at; limits may come from there."""
    plain = data_directory.DEFAULTS
    overrides: dict[str, str | int] = {
        "data_dir": str(data),
        "mail_url": f"file:{data / 'mails'}",
        "payments_url": "sandbox:",
        "secret_keys": "",
    }
    for name in (*URLS, "files_url"):
        overrides[name] = getattr(plain, name)
    if demo.port is not None:
        overrides["port"] = demo.port
    return load(None, **overrides)


class RunningDemo:
    """The running demo: sample, crowd, terminal, and the report at its end."""

    def __init__(
        self,
        demo: Demo,
        screen: Screen,
        running: Platform,
        parts: "ApiParts",
        database: Database,
        stop: asyncio.Event,
    ) -> None:
        self._demo = demo
        self._screen = screen
        self._running = running
        self._parts = parts
        self._database = database
        self._stop = stop
        self._crowd: CrowdProcesses | None = None
        self.terminal: Terminal | None = None

    async def prepare(self) -> None:
        """Accounts, product, sale, crowd. Raises MiaoshaError."""
        demo, settings = self._demo, self._running.settings
        admin, buyer = await sample_sale.logins(self._parts)
        sign_ups = min(SIGN_UPS, demo.crowd)
        ids, tokens = await sample_sale.accounts(self._parts, demo.crowd - sign_ups)
        self._sale = await sample_sale.create_sale(
            "127.0.0.1",
            settings.port,
            admin,
            stock=demo.stock,
            opens_in_s=demo.opens_in_s,
            open_for_s=demo.open_for_s,
            pay_within_s=demo.pay_within_s,
        )
        self.terminal = Terminal(self._screen, head(settings.public_url, admin, buyer))
        self._watcher = Watcher(
            self._parts, self._database, self._sale.sale_id, self._running.children
        )
        if demo.crowd:
            people = crowd_processes.people(ids, tokens, sign_ups, demo.seed)
            self._crowd = CrowdProcesses(
                _plan(demo, settings, self._sale, people), self._running.places.data
            )
            await self._crowd.start(self._running.places.data / "logs" / "crowd.log")

    async def run(self) -> int:
        """Show the sale until it is settled or interrupted; the exit status."""
        assert self.terminal is not None
        self.terminal.open()
        try:
            wrong = await self._watch()
        finally:
            self.terminal.close()
        status: int | None = None
        if not self._stop.is_set():
            status = await unless(self._stop, self._report(wrong))
        if not self._demo.exit_when_settled:
            if not self._stop.is_set():
                self._screen.say("the platform stays up; Ctrl-C stops it", style="dim")
            await self._stop.wait()
            status = 0
        if self._crowd is not None:
            await self._crowd.stop()
        return INTERRUPTED if status is None else status

    async def _watch(self) -> str:
        """Until interrupted, or over; what went wrong, or ""."""
        assert self.terminal is not None
        wrong = ""
        while not self._stop.is_set():
            seen = await self._watcher.look(self._crowd.progress if self._crowd else None)
            self.terminal.show(seen)
            if self._crowd is not None and not self._crowd.alive and not self._crowd.progress.ended:
                wrong = wrong or "the crowd died; see its log"
            if self._ends and (wrong or self._over(seen)):
                self.terminal.show(seen, last=True)
                return wrong or self._why(seen)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._stop.wait()
            except TimeoutError:
                continue
        return wrong

    @property
    def _ends(self) -> bool:
        """A sale for people alone goes on until it is interrupted."""
        return self._demo.crowd > 0 or self._demo.exit_when_settled

    def _over(self, seen: Snapshot) -> bool:
        if seen.phase == "settled":
            waiting = seen.books.mails.get("new", 0) + seen.books.mails.get("queued", 0)
            settled_ms = seen.now_ms - seen.books.closes_at_ms
            return not waiting or settled_ms > (SETTLED_WITHIN_S + MAILS_WITHIN_S) * 1000
        return bool(self._why(seen))

    def _why(self, seen: Snapshot) -> str:
        if seen.phase == "settled":
            return ""
        if waits_for_person(seen.books.frozen or ""):
            return f"the sale is frozen: {seen.books.frozen}"
        late_ms = seen.now_ms - seen.books.closes_at_ms
        if seen.books.closes_at_ms and late_ms > SETTLED_WITHIN_S * 1000:
            return f"not settled {SETTLED_WITHIN_S:.0f} s after closing"
        return ""

    async def _report(self, wrong: str) -> int:
        """The numbers, every contradiction, and the last line."""
        self._screen.say("asking every buyer once more …", style="dim")
        views = await self._crowd.finish() if self._crowd else []
        broken = [wrong] if wrong else []
        try:
            ledger = await checker.read_ledger(self._database, self._sale.sale_id)
        except MiaoshaError as error:
            return report.verdict(self._screen, [*broken, f"the ledger cannot be read: {error}"])
        broken += checker.findings(ledger, views, self._demo.crowd)
        broken += await self._invariants(ledger.verdict)
        mails = len(list((self._running.places.data / "mails").rglob("*.eml")))
        report.show(self._screen, ledger, views, mails, "USD")
        return report.verdict(self._screen, broken)

    async def _invariants(self, kept: str | None) -> list[str]:
        """I1 to I10 now, and what the audit said when the sale was settled."""
        found = []
        try:
            now = await self._parts.auditor.audit(self._sale.sale_id)
            found = [f"{finding.invariant}: {finding.detail}" for finding in now.findings]
        except MiaoshaError as error:
            found.append(f"the audit could not run: {error}")
        then = msgspec.json.decode(kept) if kept else {"clean": False}
        if not then["clean"]:
            found.append("the sale was not settled by a clean audit")
        return found


def _plan(demo: Demo, settings: Settings, sale: SampleSale, people: list[Visitor]) -> CrowdPlan:
    return CrowdPlan(
        host="127.0.0.1",
        port=settings.port,
        sale_id=sale.sale_id,
        seed=demo.seed,
        right=sale.right,
        people=people,
        out="",
        rush_s=crowd_processes.rush_s(demo.crowd),
    )


def head(url: str, admin: Login, buyer: Login) -> Table:
    """Where the shop is, and who can sign in."""
    table = Table.grid(padding=(0, 2))
    docs = Text(cell(f"{url}/api/docs"), style="dim")
    table.add_row(Text("Miaosha 秒殺", style="bold"), Text(cell(url), style="bold cyan"), docs)
    for who, login in (("admin", admin), ("buyer", buyer)):
        password = Text.assemble(("password ", "dim"), cell(login.password))
        table.add_row(Text(who, style="dim"), cell(login.email), password)
    return table
