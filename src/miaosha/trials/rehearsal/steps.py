"""Steps: the parts of a rehearsal: connect, hold, broadcast, results, storm."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from miaosha.domain.errors import DependencyDown
from miaosha.domain.sale import Phase
from miaosha.supervisor.machine.usage import Used, available_bytes, used
from miaosha.trials.percentiles import percentile
from miaosha.trials.rehearsal.client_processes import ClientProcesses
from miaosha.trials.rehearsal.client_protocol import Said
from miaosha.trials.rehearsal.outcome import (
    BroadcastResult,
    PersonalResults,
    RehearsalOutcome,
    Spread,
)
from miaosha.trials.rehearsal.private_gateways import PrivateGateways

POLL_S: Final = 0.1
SILENT_S: Final = 15.0  # nobody new is told
RAMP_STANDS_S: Final = 45.0  # no further socket is ready for so long: the ramp is over
STALLED_S: Final = 45.0  # without any progress, a step is over
STEP_S: Final = 240.0  # nor does one after the connecting last longer, whatever still happens
TWICE_S: Final = 0.7  # after this whoever is told twice has been, and every process said so
CONNECTS_MIN_PER_S: Final = 1_000.0  # slower than that it is given up
RESULTS: Final = 400
RESULTS_S: Final = 5.0  # nothing came: the rest is missing
RESULTS_AT_ONCE: Final = 4
RESULT_EVERY_S: Final = 0.02
QUIET_S: Final = 1.0
SAID_S: Final = 1.5  # every process, theirs and ours, says how it is more often than this

Show = Callable[[str, Said], None]


@dataclass
class Rehearsal:
    """What the steps share.

    Attributes:
        gateways: the private set; None when somebody else's deployment is driven.
        first_user: of the sockets' users; 0: they have no token.
        show: told what is going on, several times a second.
    """

    clients: ClientProcesses
    outcome: RehearsalOutcome
    gateways: PrivateGateways | None
    first_user: int
    show: Show

    def _used(self) -> Used:
        return used(self.gateways.pids) if self.gateways else Used(0.0, 0)

    async def step(self, what: str, work: Awaitable[None]) -> None:
        """Do a part of it; one that fails is noted, and what is known so far is not lost."""
        try:
            await work
        except (TimeoutError, DependencyDown) as error:
            why = str(error) or "a client process did not answer"
            self.outcome.unfinished.append(f"{what}: {why}")

    async def _until(
        self,
        what: str,
        done: Callable[[Said], bool],
        seconds: float,
        within_s: float = STEP_S,
        progress: Callable[[Said], object] = lambda said: (
            said.ready,
            said.attempts,
            said.reached,
            said.results,
        ),
    ) -> bool:
        """Wait while something still happens, `within_s` at most; True if `done`.

        Args:
            seconds: without any change of `progress`, it is over.
        """
        changed_at, before = time.monotonic(), progress(Said())
        end = changed_at + within_s
        while not done(said := self.clients.said):
            now_at = progress(said)
            if now_at != before:
                before, changed_at = now_at, time.monotonic()
            stalled = time.monotonic() - changed_at > seconds
            if stalled or time.monotonic() > end or not self.clients.alive:
                return False
            self.show(what, said)
            await asyncio.sleep(POLL_S)
        return True

    async def connect(
        self, began: float, empty: Used, free_bytes: int, ramp_per_s: float = 0.0
    ) -> None:
        """Wait until everybody is there; what it took.

        Args:
            ramp_per_s: sockets that are opened a second; 0: as fast as possible.

        Raises:
            TimeoutError: it stands still, or takes too long; what came is measured all the same.
        """
        o = self.outcome
        pace_s = o.connections / ramp_per_s if ramp_per_s else 0.0
        stands_s = max(RAMP_STANDS_S, 3.0 / ramp_per_s) if ramp_per_s else RAMP_STANDS_S
        there = await self._until(
            "connecting",
            lambda said: said.settled_at > 0,
            stands_s,
            STEP_S + o.connections / CONNECTS_MIN_PER_S + pace_s,
            lambda said: (said.ready, said.gave_up),
        )
        said = self.clients.said
        o.ready = said.ready
        o.connect_s = (said.settled_at or time.monotonic()) - began
        o.connects_per_s = o.ready / max(o.connect_s, 0.001)
        o.connect_latency = spread((await self.clients.gather()).connects, 0.0)
        connected = self._used()
        await asyncio.sleep(QUIET_S)
        if o.ready:
            o.machine_bytes_per_connection = (free_bytes - available_bytes()) / o.ready
            o.client_bytes_per_connection = self.clients.grown() / o.ready
        if self.gateways and o.ready:
            cpu_s = connected.cpu_s - empty.cpu_s
            o.connect_cpu_us = cpu_s * 1e6 / o.ready
            o.connects_per_s_per_core = o.ready / max(cpu_s, 0.001)
            o.empty_gateway_mb = empty.memory / o.gateways / 1e6
            o.bytes_per_connection = (self._used().memory - empty.memory) / o.ready
        if not there:
            raise TimeoutError(
                f"it stands still at {said.ready:,} of {o.connections:,} sockets: "
                f"none was added for {stands_s:.0f} s"
                if self.clients.alive
                else "a client process has died"
            )

    async def hold(self, seconds: float) -> None:
        """Heartbeats and nothing else."""
        before, said, began = self._used(), self.clients.said, time.monotonic()
        while (left_s := began + seconds - time.monotonic()) > 0:
            self.show(f"holding, {left_s:.0f} s left", self.clients.said)
            await asyncio.sleep(min(left_s, POLL_S * 5))
        o = self.outcome
        o.held_s = time.monotonic() - began
        o.pings = self.clients.said.pings - said.pings
        if self.gateways and o.held_s:
            o.hold_cpu_percent = (self._used().cpu_s - before.cpu_s) / o.held_s * 100

    async def broadcasts(self) -> None:
        """The sale opens; then, after results in the calm, it pauses while results are sent."""
        assert self.gateways
        o = self.outcome
        o.broadcast, _ = await self._broadcast(self.gateways, Phase.OPEN, results=False)
        if not self.first_user:
            o.notes.append("no tokens: personal results were not measured")
            return
        o.personal = await self._results(self.gateways)
        o.busy_broadcast, o.busy_personal = await self._broadcast(
            self.gateways, Phase.PAUSED, results=True
        )

    async def _results(self, gateways: PrivateGateways) -> PersonalResults:
        """Results while nothing else is going on."""
        before = self.clients.said.results
        sent = await self._send(gateways, RESULTS)
        await self._until("results", lambda said: said.results >= before + sent, RESULTS_S)
        late = (await self.clients.gather()).latencies
        return PersonalResults(sent=sent, missing=sent - len(late), latency=spread(late, 0.0))

    async def _broadcast(
        self, gateways: PrivateGateways, phase: Phase, *, results: bool
    ) -> tuple[BroadcastResult, PersonalResults | None]:
        await self.clients.gather()  # forget what was noted before
        await self.clients.arm(f'"phase":"{phase.value}"')
        expected, before = self.clients.said.ready, self._used()
        began = time.monotonic()
        await gateways.show(phase)
        sending = asyncio.create_task(self._send_along(gateways, expected)) if results else None
        await self._until("broadcast", lambda said: said.reached >= expected, SILENT_S)
        sent = await sending if sending else 0
        spent_s = self._used().cpu_s - before.cpu_s
        await asyncio.sleep(TWICE_S)
        gathered, said = await self.clients.gather(), self.clients.said
        told = BroadcastResult(
            expected=expected,
            delivery=spread(gathered.arrived, began),
            missed=max(0, expected - said.reached),
            twice=said.again,
            cpu_us_per_recipient=spent_s * 1e6 / max(1, said.reached),
        )
        missing = max(0, sent - len(gathered.latencies))
        late = spread(gathered.latencies, 0.0)
        return told, PersonalResults(sent=sent, missing=missing, latency=late) if results else None

    async def _send(self, gateways: PrivateGateways, number: int) -> int:
        """So many results, a few at a time, to sockets taken at random."""
        dice = random.Random(1)  # noqa: S311 - a sample
        for _ in range(number // RESULTS_AT_ONCE):
            await self._tell(gateways, dice)
        return number // RESULTS_AT_ONCE * RESULTS_AT_ONCE

    async def _tell(self, gateways: PrivateGateways, dice: random.Random) -> None:
        chosen = range(self.first_user, self.first_user + self.outcome.connections)
        await gateways.tell(dice.sample(chosen, min(RESULTS_AT_ONCE, len(chosen))))
        await asyncio.sleep(RESULT_EVERY_S)

    async def _send_along(self, gateways: PrivateGateways, expected: int) -> int:
        """Results for as long as the broadcast takes."""
        dice, sent = random.Random(2), 0  # noqa: S311 - a sample
        until = time.monotonic() + STALLED_S
        while self.clients.said.reached < expected and time.monotonic() < until:
            await self._tell(gateways, dice)
            sent += min(RESULTS_AT_ONCE, self.outcome.connections)
        return sent

    async def count(self) -> None:
        """What both sides counted."""
        await asyncio.sleep(SAID_S)
        self.outcome.clients = self.clients.said
        if self.gateways:
            self.outcome.restarts = self.gateways.restarts
            self.outcome.gateway_counts = await self.gateways.counted()

    async def storm(self, sockets: int) -> None:
        """So many sockets are cut off at once and come back as fast as they can."""
        o, began = self.outcome, time.monotonic()
        await self.clients.storm(sockets)
        back = await self._until("storm", lambda said: said.settled_at > began, STALLED_S)
        o.storm_sockets = sockets
        o.storm_s = self.clients.said.settled_at - began if back else time.monotonic() - began
        if not back:
            o.notes.append("the storm did not settle")


def spread(moments: Sequence[float], began: float) -> Spread:
    """Of sorted `moments`, in ms after `began`."""
    if not moments:
        return Spread(0)

    def at(percent: float) -> float:
        return round((percentile(moments, percent) - began) * 1000, 2)

    return Spread(len(moments), at(0), at(50), at(99), at(100))
