"""Accounts and the trail."""

import asyncio

import pytest

from miaosha.domain.errors import Problem
from tests.contract.sql.shop import NOW, Shop


async def test_an_account_is_found_by_mail_and_by_id(shop: Shop) -> None:
    user = await shop.accounts.create("ann@example.org", "Ann 安", "$argon2", "admin", NOW)
    assert await shop.accounts.by_email("ann@example.org") == user
    assert await shop.accounts.by_id(user.id) == user
    assert await shop.accounts.by_email("bob@example.org") is None
    assert await shop.accounts.by_id(user.id + 1) is None


async def test_an_email_is_taken_once(shop: Shop) -> None:
    async def sign_up(name: str) -> bool:
        try:
            await shop.accounts.create("ann@example.org", name, "", "buyer", NOW)
        except Problem as problem:
            assert (problem.code, problem.field) == ("email_taken", "email")
            return False
        return True

    answers = await asyncio.gather(*(sign_up(f"Ann {i}") for i in range(10)))
    assert answers.count(True) == 1


async def test_a_password_is_replaced(shop: Shop) -> None:
    user = await shop.accounts.create("ann@example.org", "Ann", "old", "buyer", NOW)
    await shop.accounts.set_password(user.id, "new")
    found = await shop.accounts.by_id(user.id)
    assert found is not None
    assert found.password_hash == "new"


async def test_many_accounts_in_bulk_keep_their_order(shop: Shop) -> None:
    people = [(f"buyer{i}@example.org", f"Buyer {i}") for i in range(2_500)]
    ids = await shop.accounts.create_many(people, NOW)
    assert len(set(ids)) == len(people)
    for index in (0, 999, 1_000, 2_499):
        user = await shop.accounts.by_id(ids[index])
        assert user is not None
        assert (user.email, user.role, user.password_hash) == (people[index][0], "buyer", "")
    assert await shop.accounts.create_many([], NOW) == []


async def test_a_taken_email_in_bulk_is_said(shop: Shop) -> None:
    with pytest.raises(Problem, match="exists"):
        await shop.accounts.create_many([("a@example.org", "A"), ("a@example.org", "B")], NOW)
    assert await shop.accounts.by_email("a@example.org") is None


async def test_the_trail_is_newest_first_and_pages(shop: Shop) -> None:
    for number in range(5):
        await shop.trail.append(
            NOW + number, "user:1", "sale.pause", f"sale:{number}", {"n": number}
        )
    newest = await shop.trail.entries(None, 2)
    assert [entry.subject for entry in newest] == ["sale:4", "sale:3"]
    assert newest[0].detail == {"n": 4}
    older = await shop.trail.entries(newest[-1].id, 10)
    assert [entry.at_ms for entry in older] == [NOW + 2, NOW + 1, NOW]


async def test_the_trail_of_one_subject(shop: Shop) -> None:
    for subject in ("sale:1", "sale:2", "sale:1", "product:1"):
        await shop.trail.append(NOW, "cli", "x", subject, {})
    of_one = await shop.trail.entries(None, 10, subject="sale:1")
    assert [entry.subject for entry in of_one] == ["sale:1", "sale:1"]
    assert await shop.trail.entries(of_one[-1].id, 10, subject="sale:1") == []
