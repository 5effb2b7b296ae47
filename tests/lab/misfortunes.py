"""Misfortunes: what happens to servers and processes by itself, one thing after another."""

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Final

from tests.lab.faults import HEALED_S

if TYPE_CHECKING:
    from tests.lab.world import World

AWAY_S: Final = (0.3, 6.0)
BUSY_S: Final = (0.5, 5.0)
DRAIN_S: Final = 5.0
JUMPS_MS: Final = (-3_600_000, -30_000, -3_000, 2_000, 4_000, 60_000, 7_200_000)
BELIEVED_S: Final = 14.0  # a clock that was set and stays so is believed by then
STALL_S: Final = (1.0, 40.0)
LAG_MS: Final = 300  # of a copy behind its master
REMINDERS_LATE_MS: Final = 4_000


class Misfortunes:
    def __init__(self, world: "World", sales: list[int]) -> None:
        self._world = world
        self._sales = sales
        self._dice = world.dice.row("misfortunes")
        self._under_way: list[asyncio.Task[None]] = []

    async def happen(self, until_s: float) -> None:
        """Until then; afterwards every server is well again."""
        world, plan = self._world, self._world.plan
        while plan.events:
            await asyncio.sleep(self._dice.span(0.3, 2 * plan.every_s))
            if world.loop.time() >= until_s:
                break
            event = self._dice.among(plan.events)
            world.say("laboratory", event)
            world.counts[f"event {event}"] += 1
            await self._one(event)
            world.event()
            away_s = max(world.reach.away.values(), default=0.0) - world.loop.time()
            world.happened(max(0.0, away_s) + HEALED_S)
        for task in self._under_way:
            await task
        world.sql.busy = world.sql.full = False
        world.clock_ahead_ms = 0

    async def _one(self, event: str) -> None:
        world = self._world
        store = world.store
        sale_id = self._dice.among(self._sales)
        match event:
            case "store restarts":
                self._away("store")
                store.restart()
                world.bus.restart()
            case "store forgets":
                self._away("store")
                store.forget()
                world.bus.restart()
            case "store set back":
                store.save()
                await asyncio.sleep(self._dice.span(0.1, 3.0))
                store.set_back()
                world.bus.restart()
            case "store fails over":
                self._away("store")
                lost = store.fail_over(ms=round(self._dice.span(0, LAG_MS)))
                world.say("store", f"lost its last {lost} writes")
                world.bus.restart()
            case "broker restarts":
                self._away("broker")
                world.broker.restart()
            case "sql busy" | "disk full":
                await self._sql(event)
            case "clock jumps":
                await self._jump()
            case "clock stays set":
                self._world.clock_ahead_ms = self._dice.among(JUMPS_MS)
                await asyncio.sleep(BELIEVED_S)
            case "kill" | "roll":
                await self._process(event)
            case "mail refused":
                world.mail.refuses = True
            case "stalls":
                self._stall()
            case "store away" | "broker away" | "sql away" | "provider away" | "mail away":
                self._away(event.partition(" ")[0])
            case _:
                self._messages(event, sale_id)

    def _messages(self, event: str, sale_id: int) -> None:
        broker = self._world.broker
        match event:
            case "broker redelivers":
                broker.redeliver(sale_id)
            case "broker duplicates":
                broker.duplicate(sale_id)
            case "reminders early":
                broker.hasten_reminders()
            case "reminders late":
                broker.delay_reminders(REMINDERS_LATE_MS)
            case "reminders twice":
                broker.repeat_reminders()
            case _:
                raise ValueError(event)

    def _away(self, server: str) -> None:
        world = self._world
        world.reach.away[server] = world.loop.time() + self._dice.span(*AWAY_S)

    async def _sql(self, event: str) -> None:
        sql, name = self._world.sql, "busy" if event == "sql busy" else "full"
        setattr(sql, name, True)
        await asyncio.sleep(self._dice.span(*BUSY_S))
        setattr(sql, name, False)

    async def _jump(self) -> None:
        """The store's clock is set, and put right after a while."""
        self._world.clock_ahead_ms = self._dice.among(JUMPS_MS)
        await asyncio.sleep(self._dice.span(0.5, 6.0))
        self._world.clock_ahead_ms = 0

    def _stall(self) -> None:
        """One process stands still: its machine is moved, or collects garbage."""
        world = self._world
        living = [process for process in world.living() if process.held is None]
        if living:
            world.stall(self._dice.among(living), self._dice.span(*STALL_S))

    async def _process(self, event: str) -> None:
        """Kill one, or replace one by a successor that starts first."""
        world = self._world
        living = [process for process in world.living() if process.parts is not None]
        if not living:
            return
        process = self._dice.among(living)
        if event == "kill":
            process.end("killed")
            return
        world.start(process.role, process.number)
        await asyncio.sleep(self._dice.span(0.1, 1.0))
        task = world.loop.create_task(process.drain(DRAIN_S), context=Context())
        self._under_way.append(task)
