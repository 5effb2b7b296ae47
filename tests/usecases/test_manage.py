"""What terms a sale may have, and that nothing an admin does goes untold."""

from typing import Any

import msgspec
import pytest

from miaosha.domain.errors import Problem
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Phase, ProductView, Question, Sale
from miaosha.ports.catalogue import Product, SaleDraft, SalePage
from miaosha.usecases.control import Control
from miaosha.usecases.manage import Manage
from miaosha.usecases.terms import draft_of, terms_of, version_of
from tests.kit.clocks import HandClock

NOW = 1_700_000_000_000
QUESTION = Question(7, "What colour?", [Choice("a", "Red"), Choice("b", "Blue")], "b")


class Notes:
    """A trail and a control that note what they are told, in one order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.free = True

    async def append(
        self, at_ms: int, actor: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        self.said.append(f"{actor} {action} {subject}")


class NotingControl(Control):
    def __init__(self, notes: Notes, catalogue: "OneCatalogue") -> None:
        self._notes = notes
        self._of = catalogue

    async def schedule(self, sale_id: int) -> None:
        self._done("schedule", sale_id, phase=Phase.SCHEDULED)

    async def pause(self, sale_id: int) -> None:
        self._done("pause", sale_id, phase=Phase.PAUSED)

    async def resume(self, sale_id: int) -> None:
        self._done("resume", sale_id, phase=Phase.SCHEDULED)

    async def close(self, sale_id: int) -> None:
        self._done("close", sale_id, closes_at_ms=NOW)

    async def stock(self, sale_id: int, stock: int, within_s: float | None = None) -> None:
        self._done("stock", sale_id, stock=stock)

    async def rebuild_within(
        self, sale_id: int, within_s: float | None, why: str = "", *, patient: bool = False
    ) -> bool:
        self._done("rebuild", sale_id, frozen=None)
        return self._notes.free

    async def refresh_board(self) -> None:
        self._notes.said.append("board")

    def _done(self, what: str, sale_id: int, **changes: Any) -> None:
        self._notes.said.append(f"control {what}")
        old = self._of.kept[sale_id]
        self._of.kept[sale_id] = msgspec.structs.replace(old, **changes)


class OneCatalogue:
    """Product 1 exists; sales are kept in a dict. Armed ones (`fixed`) cannot be edited."""

    def __init__(self) -> None:
        self.kept: dict[int, Sale] = {}
        self.fixed: set[int] = set()
        self.at_once: SaleDraft | None = None  # another's update that comes right before the next

    async def product(self, product_id: int) -> Product | None:
        return Product(1, "Kettle", "", "", Money(1, "EUR")) if product_id == 1 else None

    async def create_sale(self, draft: SaleDraft, phase: Phase) -> Sale:
        sale = _sale(len(self.kept) + 1, draft, phase)
        self.kept[sale.id] = sale
        return sale

    async def update_sale(
        self, sale_id: int, draft: SaleDraft, was: SaleDraft | None = None
    ) -> Sale | None:
        if self.at_once is not None:
            self.kept[sale_id] = _sale(sale_id, self.at_once, self.kept[sale_id].phase)
            self.at_once = None
        if sale_id in self.fixed or was not in (None, terms_of(self.kept[sale_id])):
            return None
        self.kept[sale_id] = _sale(sale_id, draft, self.kept[sale_id].phase)
        return self.kept[sale_id]

    async def delete_sale(self, sale_id: int) -> bool:
        return self.kept.pop(sale_id, None) is not None

    async def sale(self, sale_id: int) -> Sale | None:
        return self.kept.get(sale_id)

    async def live(self) -> list[Sale]:
        return list(self.kept.values())

    async def settled(self, limit: int, since_ms: int = 0) -> list[Sale]:
        return []

    async def sales(self, cursor: str | None, limit: int) -> SalePage:
        return SalePage(list(self.kept.values()), None)

    async def create_product(self, product: Product) -> Product:
        return product

    async def update_product(self, product: Product, was: Product | None = None) -> Product | None:
        return product

    async def set_picture(self, product_id: int, url: str) -> Product | None:
        return None

    async def delete_product(self, product_id: int) -> bool:
        return False

    async def products(self, before_id: int | None, limit: int) -> list[Product]:
        return []


def _sale(sale_id: int, draft: SaleDraft, phase: Phase) -> Sale:
    return Sale(
        id=sale_id,
        title=draft.title,
        mode=draft.mode,
        phase=phase,
        product=ProductView(1, "Kettle", "", "", Money(1, "EUR")),
        price=draft.price,
        stock=draft.stock,
        opens_at_ms=draft.opens_at_ms,
        closes_at_ms=draft.closes_at_ms,
        pay_within_s=draft.pay_within_s,
        standby_pay_within_s=draft.standby_pay_within_s,
        standby_limit=draft.standby_limit,
        questions=draft.questions,
    )


class NotingTrail(Notes):
    async def entries(
        self, before_id: int | None, limit: int, *, subject: str | None = None
    ) -> list[Any]:
        return []


@pytest.fixture
def catalogue() -> OneCatalogue:
    return OneCatalogue()


@pytest.fixture
def notes() -> NotingTrail:
    return NotingTrail()


@pytest.fixture
def manage(catalogue: OneCatalogue, notes: NotingTrail) -> Manage:
    return Manage(catalogue, notes, NotingControl(notes, catalogue), HandClock(NOW))


def terms(**changes: Any) -> SaleDraft:
    values: dict[str, Any] = {
        "product_id": 1,
        "title": " Kettle rush ",
        "price": Money(4_900, "EUR"),
        "stock": 200,
        "opens_at_ms": NOW + 1_000,
        "closes_at_ms": NOW + 60_000,
        "questions": [QUESTION],
    }
    return draft_of(**(values | changes))


def test_what_is_left_out_is_filled_in() -> None:
    assert (terms().pay_within_s, terms().standby_pay_within_s) == (600, 600)
    assert terms(pay_within_s=8).standby_pay_within_s == 8
    assert terms(pay_within_s=8, standby_pay_within_s=5).standby_pay_within_s == 5
    assert [terms(stock=n).standby_limit for n in (1, 100, 200)] == [1_000, 1_000, 2_000]
    assert terms(standby_limit=0).standby_limit == 0


def asked(**changes: Any) -> list[Question]:
    return [msgspec.structs.replace(QUESTION, **changes)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"product_id": 2}, "product_id"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"price": Money(1, "ABC")}, "price.currency"),
        ({"price": Money(10**13, "EUR")}, "price.amount"),
        ({"stock": 0}, "stock"),
        ({"stock": 1_000_001, "standby_limit": 1}, "stock"),
        ({"pay_within_s": 0}, "pay_within_s"),
        ({"standby_pay_within_s": 0}, "standby_pay_within_s"),
        ({"standby_limit": -1}, "standby_limit"),
        ({"opens_at_ms": -1}, "opens_at_ms"),
        ({"closes_at_ms": NOW + 1_000}, "closes_at_ms"),
        ({"closes_at_ms": NOW + 400 * 86_400_000}, "closes_at_ms"),
        ({"mode": Mode.DRAW}, "mode"),
        ({"questions": []}, "questions"),
        ({"questions": [QUESTION] * 51}, "questions"),
        ({"questions": asked(text="")}, "questions[0].text"),
        ({"questions": asked(choices=QUESTION.choices[:1])}, "questions[0].choices"),
        ({"questions": asked(choices=QUESTION.choices * 2)}, "questions[0].choices"),
        ({"questions": asked(answer="c")}, "questions[0].answer"),
        (
            {"questions": asked(choices=[Choice("a", ""), Choice("b", "x")])},
            "questions[0].choices[0].text",
        ),
    ],
)
async def test_bad_terms_name_the_field(
    manage: Manage, notes: NotingTrail, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Problem) as refused:
        await manage.create("cli", terms(**changes), publish=True)
    assert (refused.value.code, refused.value.field) == ("bad_request", field)
    assert notes.said == []


async def test_a_sale_is_created_as_it_was_meant(manage: Manage, notes: NotingTrail) -> None:
    sale = await manage.create("user:1", terms(questions=[QUESTION, QUESTION]), publish=True)
    assert (sale.title, sale.phase) == ("Kettle rush", Phase.SCHEDULED)
    assert [question.id for question in sale.questions] == [1, 2]
    assert notes.said == [
        "user:1 sale.create sale:1",
        "user:1 sale.publish sale:1",
        "control schedule",
        "board",
    ]


async def test_a_sale_that_is_over_is_not_published(manage: Manage) -> None:
    past = terms(opens_at_ms=NOW - 9_000, closes_at_ms=NOW)
    with pytest.raises(Problem) as refused:
        await manage.create("cli", past, publish=True)
    assert refused.value.field == "closes_at_ms"
    draft = await manage.create("cli", past, publish=False)
    with pytest.raises(Problem):
        await manage.publish("cli", draft.id)


async def test_the_trail_is_written_before_the_effect(manage: Manage, notes: NotingTrail) -> None:
    sale = await manage.create("cli", terms(opens_at_ms=NOW - 1), publish=True)
    notes.said.clear()
    await manage.pause("cli", sale.id)
    await manage.resume("cli", sale.id)
    await manage.stock("cli", sale.id, 300)
    await manage.stock("cli", sale.id, 300)  # nothing to do
    await manage.close("cli", sale.id)
    assert notes.said == [
        "cli sale.pause sale:1",
        "control pause",
        "cli sale.resume sale:1",
        "control resume",
        "cli sale.stock sale:1",
        "control stock",
        "cli sale.close sale:1",
        "control close",
    ]


async def test_what_does_not_fit_the_phase_leaves_no_trace(
    manage: Manage, catalogue: OneCatalogue, notes: NotingTrail
) -> None:
    draft = await manage.create("cli", terms(), publish=False)
    catalogue.fixed.add(draft.id)
    notes.said.clear()
    for act in (
        manage.pause("cli", draft.id),
        manage.resume("cli", draft.id),
        manage.close("cli", draft.id),
        manage.rebuild("cli", draft.id),
        manage.stock("cli", draft.id, 9),
        manage.update("cli", draft.id, terms()),
    ):
        with pytest.raises(Problem) as refused:
            await act
        assert refused.value.code == "conflict"
        assert "This sale is draft" not in str(refused.value)
    for lost in (manage.pause("cli", 99), manage.update("cli", 99, terms())):
        with pytest.raises(Problem) as missing:
            await lost
        assert missing.value.code == "not_found"
    assert notes.said == []


async def test_of_two_admins_the_second_hears_of_the_first(manage: Manage) -> None:
    began = await manage.create("ann", terms(), publish=False)
    await manage.update("ann", began.id, terms(stock=8), version_of(began))
    with pytest.raises(Problem) as refused:
        await manage.update("bob", began.id, terms(stock=9), version_of(began))
    assert (refused.value.code, refused.value.field) == ("conflict", "version")
    now = await manage.get(began.id)
    assert now.stock == 8
    assert (await manage.update("bob", began.id, terms(stock=9), version_of(now))).stock == 9


async def test_a_change_in_the_very_moment_is_heard_of_too(
    manage: Manage, catalogue: OneCatalogue
) -> None:
    began = await manage.create("ann", terms(), publish=False)
    catalogue.at_once = terms(stock=8)
    with pytest.raises(Problem) as refused:
        await manage.update("bob", began.id, terms(stock=9), version_of(began))
    assert (refused.value.code, refused.value.field) == ("conflict", "version")
    assert (await manage.get(began.id)).stock == 8


async def test_one_rebuild_at_a_time(manage: Manage, notes: NotingTrail) -> None:
    sale = await manage.create("cli", terms(), publish=True)
    await manage.rebuild("cli", sale.id)
    notes.free = False
    with pytest.raises(Problem) as refused:
        await manage.rebuild("cli", sale.id)
    assert refused.value.code == "conflict"
