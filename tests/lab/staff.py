"""Staff: whoever sells. They make the sale, pause and resume it, change its stock, rebuild, close.

Whatever they do may fail half-way, as every other call; they do not know more than the API says.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from miaosha.domain.errors import Fault, Problem
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Question
from miaosha.ports.catalogue import Product, SaleDraft
from tests.lab.process import ConnectionEnded

if TYPE_CHECKING:
    from tests.lab.world import World

ACTOR: Final = "user:1"
WITHIN_S: Final = 12.0
ACTS: Final = ("pause", "raise", "lower", "rebuild", "close")


class Staff:
    """Args: acts: what they do in this history, of ACTS."""

    def __init__(self, world: "World", acts: list[str]) -> None:
        self._world = world
        self._acts = acts
        self._dice = world.dice.row("staff")

    async def make_sale(
        self, stock: int, standby: int, pay_within_s: int, opens_in_s: float
    ) -> int:
        """A scheduled sale, made before any fault. Returns its id."""
        now_ms = self._world.now_ms()
        catalogue = self._world.catalogue
        product = await catalogue.create_product(
            Product(0, "Kettle", "Boils water.", "", Money(9900, "USD"))
        )
        opens_ms = now_ms + round(opens_in_s * 1000)
        choices = [Choice("a", "Water"), Choice("b", "Ink")]
        draft = SaleDraft(
            product_id=product.id,
            title="Kettles at noon",
            price=Money(4900, "USD"),
            stock=stock,
            opens_at_ms=opens_ms,
            closes_at_ms=opens_ms + 600_000,
            pay_within_s=pay_within_s,
            standby_pay_within_s=pay_within_s,
            standby_limit=standby,
            questions=[Question(1, "What does it boil?", choices, "a")],
            mode=Mode.FIFO,
        )
        sale = await self.ask("create", lambda desk: desk.manage.create(ACTOR, draft, publish=True))
        assert sale is not None, "nothing may go wrong yet"
        return int(sale.id)

    async def work(self, sale_id: int, until_s: float) -> None:
        """Do this and that until then; then leave the sale running."""
        loop = self._world.loop
        while self._acts:
            await asyncio.sleep(self._dice.span(1.0, 7.0))
            if loop.time() >= until_s:
                return
            await self._one(sale_id, self._dice.among(self._acts))

    async def _one(self, sale_id: int, act: str) -> None:
        self._world.counts[f"act {act} {sale_id}"] += 1
        match act:
            case "pause":
                await self.ask("pause", lambda desk: desk.manage.pause(ACTOR, sale_id))
                await asyncio.sleep(self._dice.span(0.3, 4.0))
                await self.resume(sale_id)
            case "raise" | "lower":
                more = 1 + self._dice.below(2)
                change = more if act == "raise" else -more
                stock = max(1, self._world.stock(sale_id) + change)
                await self.ask(
                    act, lambda desk: desk.manage.stock(ACTOR, sale_id, stock, WITHIN_S / 2)
                )
            case "rebuild":
                await self.rebuild(sale_id)
            case "close" if self._dice.chance(0.3):
                await self.close(sale_id)

    async def resume(self, sale_id: int) -> None:
        """Until it runs again: a sale is not left paused by mistake."""
        while self._world.phase(sale_id) == "paused":
            await self.ask("resume", lambda desk: desk.manage.resume(ACTOR, sale_id))
            await asyncio.sleep(0.5)

    async def rebuild(self, sale_id: int) -> None:
        await self.ask("rebuild", lambda desk: desk.manage.rebuild(ACTOR, sale_id, WITHIN_S / 2))

    async def close(self, sale_id: int) -> None:
        await self.ask("close", lambda desk: desk.manage.close(ACTOR, sale_id))

    async def redrive_mails(self) -> None:
        """Put back every mail that was parked."""
        await self.ask("redrive", lambda desk: desk.parking.redrive_mails(ACTOR))

    async def ask(self, name: str, work: Any) -> Any:
        """What the API says; None if it could not say, or said no."""
        world = self._world
        done, answer = None, None
        world.counts["acts"] += 1
        process = world.pick("api", self._dice)
        try:
            if process is None:
                raise ConnectionEnded("no api")
            answer, done = await process.ask(work, WITHIN_S), True
        except Problem:
            done = False
        except (ConnectionEnded, Fault):
            pass
        except Exception as error:
            world.oracles.broken("staff", error)
        world.say("staff", f"{name}: {done}")
        return answer
