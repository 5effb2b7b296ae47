"""Behaviour: what each kind of buyer does, one coroutine a kind, in the table at the end."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, urlencode, urlsplit

from miaosha.trials.crowd.buyer import CARD, Buyer
from miaosha.trials.crowd.crowd_plan import BuyerKind
from miaosha.trials.crowd.http_client import Answer, Raw

GOOD = "4242424242424242"
REFUSED = "4000000000000002"
SLOW = "4000000000000077"
LOST = "4000000000000119"
REDIRECT = "4000000000003220"

DECIDED = ("held", "standby", "sold_out", "closed", "paid", "paying")
ENDED = ("paid", "expired", "declined", "left", "closed", "sold_out")
TEN = 10


async def behave(buyer: Buyer) -> None:
    """A buyer's whole evening: come in, wait for the second, act, and stay until it is over."""
    await buyer.enter()
    if buyer.crowd.over.is_set():
        return
    await _opening(buyer)
    await BEHAVIOURS[buyer.person.kind](buyer)
    buyer.crowd.tally.done += 1
    await buyer.crowd.over.wait()


async def _opening(buyer: Buyer) -> None:
    """Until the sale opens, and then the moment this finger takes."""
    while (wait_ms := buyer.ms_until(buyer.sale["opens_at_ms"])) > 0:
        await buyer.pause(min(wait_ms / 1000, 5))
        if buyer.crowd.over.is_set():
            return
    rush = buyer.crowd.plan.rush_s
    await buyer.pause(min(buyer.dice.expovariate(1 / rush), rush * 6))


async def _get_in(buyer: Buyer, answer: str | None = None) -> bool:
    """Press until the press is accepted or refused for good. True: accepted."""
    while not buyer.crowd.over.is_set():
        got = await buyer.press(answer or buyer.right_answer())
        if got.status == 202:
            return True
        if got.code in ("sold_out", "closed"):
            if not buyer.view.accepted and not buyer.place:
                buyer.view.state = got.code
            return False
        if got.status not in (0, 429, 503) and got.code not in ("not_open", "paused"):
            buyer.complain(f"a press was answered {got.status} {got.code}")
            return False
        await buyer.pause(max(got.retry_after_s, 0.2) * buyer.dice.uniform(1, 1.5))
    return False


async def _hold(buyer: Buyer) -> bool:
    """Press and wait, on standby if need be, until a unit is held. False: it will not be."""
    return await _get_in(buyer) and await _held(buyer)


async def _held(buyer: Buyer) -> bool:
    state = await buyer.until("held", *ENDED)
    while state == "held" and not buyer.checkout_token:
        if await buyer.ask() != "held":
            return False
        if not buyer.checkout_token:
            await buyer.pause(0.5)
            if buyer.crowd.over.is_set():
                return False
    return state == "held"


async def _checkout(buyer: Buyer, card: str) -> Answer:
    body = {
        "checkout_token": buyer.checkout_token,
        "payment": {"card": card, **CARD},
        "name": f"Visitor {buyer.person.number}",
        "phone": "+49 30 5550100",
        "address": f"{buyer.person.number} Example Street, 10115 Berlin",
    }
    got = await buyer.http.request("POST", buyer.crowd.path("/checkout"), body)
    if got.status == 201:
        if got.body["id"] not in buyer.view.orders:
            buyer.view.orders.append(got.body["id"])
        if len(buyer.view.orders) > 1:
            buyer.complain("a second order for one hold")
    return got


async def _pay(buyer: Buyer, card: str = GOOD) -> None:
    """Check out until it is paid or the hold is gone."""
    while not buyer.crowd.over.is_set():
        got = await _checkout(buyer, card)
        if got.status == 201:
            break
        if got.status == 202:
            await _confirm(buyer, got.body["requires_action"]["redirect_url"])
            break
        if got.status == 402:
            if card != REFUSED:
                buyer.complain("a good card was refused")
            return
        if got.code == "hold_expired":
            await buyer.until(*ENDED, within_s=10)
            return
        if got.status not in (0, 409, 429, 503):
            buyer.complain(f"a checkout was answered {got.status} {got.code}")
            return
        await buyer.pause(max(got.retry_after_s, 0.5))
    await buyer.until("paid", "expired", within_s=30)


async def _confirm(buyer: Buyer, url: str) -> None:
    """Open the provider's page and say yes: the first form on it, by its first button."""
    where = urlsplit(url)
    page = await _visit(buyer, "GET", where)
    text = page.body if isinstance(page.body, str) else ""
    form = re.search(r"<form([^>]*)>(.*?)</form>", text, re.DOTALL)
    if page.status != 200 or not form:
        buyer.complain(f"the provider's page was answered {page.status}")
        return
    fields = dict(re.findall(r"name=\"([^\"]+)\"[^>]*?value=\"([^\"]*)\"", form[2])[:1])
    action = re.search(r"action=\"([^\"]*)\"", form[1])
    target = urlsplit(action[1].replace("&amp;", "&")) if action else where
    form_of = Raw("application/x-www-form-urlencoded", urlencode(fields).encode())
    answer = await _visit(buyer, "POST", target, form_of)
    if answer.status >= 400 and not buyer.crowd.over.is_set():
        buyer.complain(f"the provider's page refused its own form: {answer.status} {answer.code}")


async def _visit(buyer: Buyer, method: str, where: SplitResult, form: Raw | None = None) -> Answer:
    """Open a page, again and again while it is away, as a person reloads it."""
    path = where.path + (f"?{where.query}" if where.query else "")
    while True:
        page = await buyer.http.request(method, path, form)
        if page.status not in (0, 429, 503) or buyer.crowd.over.is_set():
            return page
        await buyer.pause(max(page.retry_after_s, 0.5))


def _pays_with(card: str) -> Callable[[Buyer], Awaitable[None]]:
    async def behaviour(buyer: Buyer) -> None:
        if await _hold(buyer):
            await _pay(buyer, card)

    return behaviour


async def _late(buyer: Buyer) -> None:
    if await _hold(buyer):
        left_ms = buyer.ms_until(buyer.place.get("pay_by_ms", 0))
        await buyer.pause(max(0.0, left_ms / 1000) * buyer.dice.uniform(0.5, 0.8))
        await _pay(buyer)


async def _never(buyer: Buyer) -> None:
    if await _hold(buyer):
        await buyer.until("expired", within_s=120)


async def _again(buyer: Buyer) -> None:
    await _never(buyer)
    if buyer.view.state == "expired":
        buyer.view.state = "queued"
        if await _get_in(buyer) and await _held(buyer):
            await _pay(buyer)


async def _hasty(buyer: Buyer) -> None:
    right = buyer.right_answer()
    for _ in range(TEN - 1):
        await buyer.press(right)
        await buyer.pause(buyer.dice.uniform(0.02, 0.15))
    if await _hold(buyer):
        await _pay(buyer)


async def _wrong(buyer: Buyer) -> None:
    got = await buyer.press(buyer.wrong_answer())
    if got.status == 202:
        buyer.complain("a wrong answer was accepted")
    elif got.status == 403 and got.code != "wrong_answer":
        buyer.complain(f"a wrong answer was answered {got.code}")
    await buyer.pause(buyer.dice.uniform(0.3, 1))
    if await _hold(buyer):
        await _pay(buyer)


async def _give_up(buyer: Buyer, *ends: str) -> None:
    path = buyer.crowd.path("/purchases/mine")
    while not buyer.crowd.over.is_set():
        got = await buyer.http.request("DELETE", path)
        if got.status == 204:
            break
        if got.status in (404, 409):  # it went another way meanwhile
            return
        await buyer.pause(max(got.retry_after_s, 0.5))
    await buyer.until(*ends, within_s=30)


async def _decliner(buyer: Buyer) -> None:
    if await _hold(buyer):
        await buyer.pause(buyer.dice.uniform(0.2, 1.5))
        await _give_up(buyer, "declined", "expired")


async def _leaver(buyer: Buyer) -> None:
    if not await _get_in(buyer):
        return
    state = await buyer.until(*DECIDED)
    if state == "standby":
        await buyer.pause(buyer.dice.uniform(0.2, 3))
        if buyer.view.state == "standby":
            await _give_up(buyer, "left", "declined", "expired", "closed")
            return
    if await _held(buyer):
        await _pay(buyer)


async def _twice(buyer: Buyer) -> None:
    if not await _hold(buyer):
        return
    twin = Buyer(buyer.person, buyer.crowd)
    twin.http.token, twin.view = buyer.http.token, buyer.view
    twin.checkout_token = buyer.checkout_token
    try:
        await asyncio.gather(_checkout(buyer, GOOD), _checkout(twin, GOOD))
    finally:
        twin.leave()
    await _pay(buyer)
    while buyer.view.orders and not buyer.crowd.over.is_set():
        got = await _checkout(buyer, GOOD)
        if got.status == 201:
            return
        if got.status not in (0, 429, 503):  # an api that is away may be asked again
            buyer.complain(f"a repeated checkout of a paid hold was answered {got.status}")
            return
        await buyer.pause(max(got.retry_after_s, 0.5))


async def _refused(buyer: Buyer) -> None:
    if await _hold(buyer):
        await _pay(buyer, REFUSED)
        if await buyer.until("held", *ENDED, within_s=10) == "held":
            await _pay(buyer, GOOD)


async def _deaf(buyer: Buyer) -> None:
    accepted = await _get_in(buyer)
    if buyer.socket:
        buyer.socket.close()
    if accepted and await _held(buyer):
        await _pay(buyer)


BEHAVIOURS: dict[BuyerKind, Callable[[Buyer], Awaitable[None]]] = {
    BuyerKind.PROMPT: _pays_with(GOOD),
    BuyerKind.LATE: _late,
    BuyerKind.NEVER: _never,
    BuyerKind.AGAIN: _again,
    BuyerKind.HASTY: _hasty,
    BuyerKind.WRONG: _wrong,
    BuyerKind.DECLINER: _decliner,
    BuyerKind.LEAVER: _leaver,
    BuyerKind.TWICE: _twice,
    BuyerKind.REFUSED: _refused,
    BuyerKind.LOST: _pays_with(LOST),
    BuyerKind.SLOW: _pays_with(SLOW),
    BuyerKind.REDIRECT: _pays_with(REDIRECT),
    BuyerKind.DEAF: _deaf,
}
