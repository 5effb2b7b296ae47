"""The sandbox provider: five cards, one charge per key, and answers that stay as they are."""

import asyncio

import pytest

from miaosha.adapters.payments import open_payments
from miaosha.adapters.payments.sandbox import SandboxPayments
from miaosha.adapters.sql.database import Database
from miaosha.domain.errors import OutcomeUnknown, Problem, SettingsError
from miaosha.domain.money import Money
from miaosha.ports.payments import Card, Charge, ChargeState
from tests.kit.clocks import HandClock

PRICE = Money(4_999, "USD")
ACCEPTED, REFUSED, SLOW, LOST, REDIRECT = [
    Card(number, "12/30", "123")
    for number in (
        "4242424242424242",
        "4000000000000002",
        "4000000000000077",
        "4000000000000119",
        "4000000000003220",
    )
]
BACK = "https://shop.example/back"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sandbox(database: Database, clock: HandClock) -> SandboxPayments:
    return SandboxPayments(database, clock, b"k" * 32, "https://shop.example/pay/")


async def charge(sandbox: SandboxPayments, key: str, card: Card = ACCEPTED) -> Charge:
    return await sandbox.charge(key, PRICE, card, BACK)


async def test_a_good_card_is_charged_once(sandbox: SandboxPayments) -> None:
    answers = await asyncio.gather(*(charge(sandbox, "a:1") for _ in range(20)))
    assert {answer.state for answer in answers} == {ChargeState.CHARGED}
    assert (await sandbox.lookup("a:1")).state is ChargeState.CHARGED
    assert (await sandbox.lookup("a:2")).state is ChargeState.NONE


@pytest.mark.parametrize("number", ["4000000000000002", "1234567812345678", ""])
async def test_a_bad_card_is_refused_for_good(sandbox: SandboxPayments, number: str) -> None:
    refused = await charge(sandbox, "a:1", Card(number, "12/30", "123"))
    assert refused.state is ChargeState.REFUSED
    assert refused.reason in ("card_declined", "unknown_card")
    assert await charge(sandbox, "a:1") == refused  # the key's answer, whatever the card
    assert (await charge(sandbox, "a:2")).state is ChargeState.CHARGED


async def test_a_lost_answer_was_charged_all_the_same(sandbox: SandboxPayments) -> None:
    with pytest.raises(OutcomeUnknown):
        await charge(sandbox, "a:1", LOST)
    assert (await sandbox.lookup("a:1")).state is ChargeState.CHARGED
    assert (await charge(sandbox, "a:1", LOST)).state is ChargeState.CHARGED


async def test_a_slow_card_is_pending_then_charged(
    sandbox: SandboxPayments, clock: HandClock
) -> None:
    task = asyncio.create_task(charge(sandbox, "a:1", SLOW))
    await state_becomes(sandbox, "a:1", ChargeState.PENDING)
    clock.advance(9_999)
    assert (await sandbox.lookup("a:1")).state is ChargeState.PENDING
    clock.advance(1)
    assert (await sandbox.lookup("a:1")).state is ChargeState.CHARGED
    assert (await task).state is ChargeState.CHARGED


async def state_becomes(sandbox: SandboxPayments, key: str, state: ChargeState) -> None:
    async with asyncio.timeout(5):
        while (await sandbox.lookup(key)).state is not state:  # noqa: ASYNC110 (other process)
            await asyncio.sleep(0.01)  # between looks


async def test_a_slow_charge_is_voided_before_it_is_ready(
    sandbox: SandboxPayments, clock: HandClock
) -> None:
    task = asyncio.create_task(charge(sandbox, "a:1", SLOW))
    await state_becomes(sandbox, "a:1", ChargeState.PENDING)
    clock.advance(9_999)
    assert (await sandbox.void("a:1")).state is ChargeState.VOIDED
    clock.advance(60_000)
    assert (await task).state is ChargeState.VOIDED


async def test_a_slow_charge_is_charged_not_voided_once_it_is_ready(
    sandbox: SandboxPayments, clock: HandClock
) -> None:
    task = asyncio.create_task(charge(sandbox, "a:1", SLOW))
    await state_becomes(sandbox, "a:1", ChargeState.PENDING)
    clock.advance(10_000)
    assert (await sandbox.void("a:1")).state is ChargeState.CHARGED
    assert (await task).state is ChargeState.CHARGED


async def test_a_voided_key_is_never_charged(sandbox: SandboxPayments) -> None:
    assert (await sandbox.void("a:1")).state is ChargeState.VOIDED
    for card in (ACCEPTED, SLOW, LOST, REDIRECT):
        assert (await charge(sandbox, "a:1", card)).state is ChargeState.VOIDED
    assert (await sandbox.lookup("a:1")).state is ChargeState.VOIDED


async def test_void_answers_what_was_decided_before(sandbox: SandboxPayments) -> None:
    await charge(sandbox, "a:1")
    await charge(sandbox, "a:2", REFUSED)
    assert (await sandbox.void("a:1")).state is ChargeState.CHARGED
    assert (await sandbox.void("a:2")).state is ChargeState.REFUSED


async def test_charge_against_void_has_one_answer(sandbox: SandboxPayments) -> None:
    for round_ in range(50):
        key = f"a:{round_}"
        charged, voided = await asyncio.gather(charge(sandbox, key), sandbox.void(key))
        assert charged.state is voided.state
        assert (await sandbox.lookup(key)).state is charged.state


async def test_a_refund_happens_once_and_only_to_a_charge(sandbox: SandboxPayments) -> None:
    await charge(sandbox, "a:1")
    for _ in range(2):
        assert (await sandbox.refund("a:1")).state is ChargeState.REFUNDED
    assert (await charge(sandbox, "a:1")).state is ChargeState.REFUNDED
    await charge(sandbox, "a:2", REFUSED)
    assert (await sandbox.refund("a:2")).state is ChargeState.REFUSED
    assert (await sandbox.refund("a:3")).state is ChargeState.NONE


@pytest.mark.parametrize(
    ("approve", "state"), [(True, ChargeState.CHARGED), (False, ChargeState.REFUSED)]
)
async def test_the_redirect_page_decides(
    sandbox: SandboxPayments, approve: bool, state: ChargeState
) -> None:
    asked = await charge(sandbox, "a:1", REDIRECT)
    assert asked.state is ChargeState.ACTION
    page, _, secret = asked.redirect_url.rpartition("/")
    assert page == "https://shop.example/pay"
    assert await charge(sandbox, "a:1", REDIRECT) == asked  # a repeat leads to the same page
    shown = await sandbox.approval(secret)
    assert shown is not None
    assert (shown.key, shown.amount, shown.return_url) == ("a:1", PRICE, BACK)
    answered = await sandbox.answer(secret, approve=approve)
    assert answered is not None
    assert answered.state is state
    second = await sandbox.answer(secret, approve=not approve)  # the first answer counts
    assert second == answered
    assert (await sandbox.lookup("a:1")).state is state


async def test_a_voided_redirect_cannot_be_approved(sandbox: SandboxPayments) -> None:
    asked = await charge(sandbox, "a:1", REDIRECT)
    secret = asked.redirect_url.rpartition("/")[2]
    assert (await sandbox.void("a:1")).state is ChargeState.VOIDED
    answered = await sandbox.answer(secret, approve=True)
    assert answered is not None
    assert answered.state is ChargeState.VOIDED


async def test_an_unknown_page_is_none(sandbox: SandboxPayments) -> None:
    assert await sandbox.approval("nothing") is None
    assert await sandbox.answer("nothing", approve=True) is None


async def test_a_webhook_is_signed(sandbox: SandboxPayments) -> None:
    await charge(sandbox, "a:1")
    body, signature = await sandbox.webhook("a:1")
    assert sandbox.verify_webhook(body, signature) == "a:1"
    for wrong in ("", signature[:-1], signature.upper(), "é" * 64):
        with pytest.raises(Problem, match="signature"):
            sandbox.verify_webhook(body, wrong)
    with pytest.raises(Problem, match="signature"):
        sandbox.verify_webhook(body + b" ", signature)


async def test_every_process_sees_the_same_charges(database: Database, clock: HandClock) -> None:
    one = open_payments("sandbox:", database, clock, "a ring of keys")
    other = open_payments("sandbox:", database, clock, "a ring of keys")
    await one.void("a:1")
    assert (await other.charge("a:1", PRICE, ACCEPTED, BACK)).state is ChargeState.VOIDED
    at_home = open_payments("sandbox:", database, clock, "", "https://shop.example/")
    asked = await at_home.charge("a:2", PRICE, REDIRECT, BACK)
    assert asked.redirect_url.rpartition("/")[0] == "https://shop.example/sandbox"
    with pytest.raises(SettingsError, match="sandbox:"):
        open_payments("stripe:sk_secret", database, clock, "")
