"""Court: hears everything that happens in a history, and keeps what the oracles find."""

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from miaosha.domain.errors import Fault, Problem
from tests.lab.oracles.always import Always
from tests.lab.oracles.healing import Healing
from tests.lab.oracles.money import Money
from tests.lab.oracles.requests import Requests
from tests.lab.oracles.rest import Rest
from tests.lab.oracles.told import Stories
from tests.lab.oracles.waits import Waits
from tests.lab.oracles.work import Work
from tests.lab.process import ConnectionEnded

if TYPE_CHECKING:
    from tests.lab.people import Buyer, Told
    from tests.lab.process import Process
    from tests.lab.world import World

FINDINGS_MAX: Final = 20


class Finding(msgspec.Struct, frozen=True):
    """`at_s`: seconds since the history began."""

    oracle: str
    sentence: str
    at_s: float


class Oracles:
    """Attributes: sales: the ids of what is sold; people: who buys."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.findings: list[Finding] = []
        self.sales: list[int] = []
        self.people: list[Buyer] = []
        self._kinds: set[tuple[str, str]] = set()
        self._always = Always(world, self.find)
        self._stories = Stories(world, self.find)
        self._healing = Healing(world, self.find)
        self._waits = Waits(world, self.find)
        self._requests = Requests(world, self.find)
        self._work = Work(world, self.find)
        self._money = Money(world, self.find)
        self._rest = Rest(world, self.find)

    def find(self, oracle: str, sentence: str, kind: str = "") -> None:
        """Keep a finding; of one kind only the first (kind "": the sentence itself)."""
        key = (oracle, kind or sentence)
        if key in self._kinds or len(self.findings) >= FINDINGS_MAX:
            return
        self._kinds.add(key)
        at_s = self._world.passed_s()
        self.findings.append(Finding(oracle, sentence, at_s))
        self._world.say("oracle", f"{oracle}: {sentence}")

    # what happens

    def befell(self, process: "Process") -> None:
        """A call of it went wrong, or it is gone."""
        self._healing.befell(process)

    def calls(self, process: "Process", call: str, *, again: bool) -> None:
        """A call is about to reach its server: what was done before it is done. `again`: it arrives
        twice, perhaps long after whoever sent it."""
        self._always.look()
        self._requests.look()
        self._stories.look()
        self._healing.calls(process, call, again=again)
        self._work.calls(process, call)

    def told(self, buyer: "Buyer", told: "Told") -> None:
        self._stories.told(buyer, told)

    def event(self, who: str, event: Mapping[str, Any]) -> None:
        """Something was logged."""
        self._healing.event(who, event)
        self._requests.event(event)

    def broken(self, who: str, error: BaseException) -> None:
        """An exception that nobody expected."""
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = f"{last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else "?"
        self.find("rest", f"{who}: {type(error).__name__}: {error} ({where})", f"{where}")

    def logged(self, who: str, event: Mapping[str, Any]) -> None:
        """A role logged an exception: it did not expect that."""
        error = event.get("exc_info")
        detail = ""
        if isinstance(error, BaseException):
            detail = f" {type(error).__name__}: {error}"
        self.find("rest", f"{who} logged {event.get('event')}{detail}", f"logged {event['event']}")

    def refused_webhook(self, key: str, error: Exception) -> None:
        if not isinstance(error, Fault | Problem | ConnectionEnded):
            self.broken("webhook", error)

    @property
    def moves(self) -> Mapping[str, int]:
        """How often each move of a place or a hold was seen."""
        return self._always.moves

    # what lasts

    async def look_on(self) -> None:
        """Until the history ends."""
        await self._waits.look()

    def unanswered(self, buyer: "Buyer") -> None:
        """The end has come, and this buyer still waits for an answer."""
        self._requests.unanswered(buyer)

    def settled(self, all_of_them: bool) -> None:
        if not all_of_them:
            self._rest.not_settled()

    async def rest(self) -> None:
        """The end: everything is judged that must hold now."""
        self._requests.judge()
        self._money.judge()
        await self._rest.judge()
        self._healing.judge()
