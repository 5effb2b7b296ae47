"""Who may have an account: e-mails, names, passwords; and what a sign-in costs and tells."""

import pytest

from miaosha.domain.credentials import canonical_email, check_password
from miaosha.domain.errors import Overloaded, Problem
from miaosha.usecases.accounts import Membership
from tests.kit.clocks import HandClock
from tests.usecases.people import ListAccounts, PlainPasswords, PlainTokens

GOOD = "a purple teapot"


@pytest.fixture
def accounts() -> ListAccounts:
    return ListAccounts()


@pytest.fixture
def passwords() -> PlainPasswords:
    return PlainPasswords()


@pytest.fixture
def membership(accounts: ListAccounts, passwords: PlainPasswords) -> Membership:
    return Membership(accounts, passwords, PlainTokens(), HandClock())


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" Ada.Lovelace@Example.COM ", "ada.lovelace@example.com"),
        ("a+tag@b-c.example", "a+tag@b-c.example"),
        ("o'brien@example.ie", "o'brien@example.ie"),
        ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
        ("a@b", None),
        ("a@@b.example", None),
        ("@b.example", None),
        ("a@", None),
        ("a@-b.example", None),
        ("a@b.example\n", "a@b.example"),
        ("a@b.example\nbcc:x@y.example", None),
        ("a b@c.example", None),
        (".a@b.example", None),
        ("a..b@c.example", None),
        ("ä@b.example", None),
        (f"{'a' * 65}@b.example", None),
        (f"a@{'b.' * 130}example", None),
        ("", None),
    ],
)
def test_an_email_has_one_form(text: str, canonical: str | None) -> None:
    assert canonical_email(text) == canonical


@pytest.mark.parametrize("password", ["short", "x7$Kp2!", "\ufdfa" * 8, "x7$K" * 33])
def test_a_password_has_8_to_128_characters(password: str) -> None:
    with pytest.raises(Problem) as refused:
        check_password(password)
    assert (refused.value.code, refused.value.field) == ("bad_request", "password")


@pytest.mark.parametrize("password", ["x7$Kp2!q", "x7$Kp2!q" * 16])
def test_a_password_of_8_or_128_characters_will_do(password: str) -> None:
    assert check_password(password) == password


@pytest.mark.parametrize("password", ["Password1!", "ada@example.test", "Ada Lovelace"])
async def test_nobody_registers_with_a_password_that_is_tried_first(
    membership: Membership, accounts: ListAccounts, password: str
) -> None:
    with pytest.raises(Problem) as refused:
        await membership.register("ada@example.test", password, "Ada Lovelace")
    assert (refused.value.code, refused.value.field) == ("bad_request", "password")
    assert not accounts.people


async def test_registering_stores_a_hash_of_what_was_typed(
    membership: Membership, accounts: ListAccounts
) -> None:
    user = await membership.register(" Ada@Example.Test", "ﬁne and purple", "  Ada  ")
    assert (user.email, user.name, user.role) == ("ada@example.test", "Ada", "buyer")
    assert accounts.people[user.id].password_hash == "plain$fine and purple"
    with pytest.raises(Problem) as taken:
        await membership.register("ADA@example.test", GOOD, "Ada")
    assert taken.value.code == "email_taken"


async def test_an_admin_is_made_by_the_command_line_only(membership: Membership) -> None:
    assert (await membership.register("root@example.test", GOOD, "Root", "admin")).role == "admin"
    assert (await membership.sign_up("eve@example.test", GOOD, "Eve")).user.role == "buyer"
    with pytest.raises(AssertionError):
        await membership.register("x@example.test", GOOD, "X", "owner")


async def test_unknown_and_wrong_cost_the_same(
    membership: Membership, passwords: PlainPasswords
) -> None:
    await membership.sign_up("ada@example.test", GOOD, "Ada")
    for email, password in (
        ("ada@example.test", "wrong"),
        ("nobody@example.test", GOOD),
        ("not an address", GOOD),
    ):
        with pytest.raises(Problem) as refused:
            await membership.sign_in(email, password)
        assert refused.value.code == "bad_credentials"
    assert passwords.verified == [f"plain${GOOD}", None, None]


async def test_an_account_without_a_password_cannot_sign_in(
    membership: Membership, accounts: ListAccounts, passwords: PlainPasswords
) -> None:
    await accounts.create_many([("bulk@example.test", "Bulk")], 1)
    with pytest.raises(Problem):
        await membership.sign_in("bulk@example.test", "")
    assert passwords.verified == [None]


async def test_a_very_long_password_is_not_hashed(
    membership: Membership, passwords: PlainPasswords
) -> None:
    with pytest.raises(Problem) as refused:
        await membership.sign_in("ada@example.test", "x" * 10_000)
    assert refused.value.code == "bad_credentials"
    assert passwords.verified == []


async def test_an_outdated_hash_is_renewed_at_sign_in(
    membership: Membership, accounts: ListAccounts, passwords: PlainPasswords
) -> None:
    user = await accounts.create("ada@example.test", "Ada", f"old${GOOD}", "buyer", 1)
    passwords.full = True  # the pool: signing in works all the same
    session = await membership.sign_in("ada@example.test", GOOD)
    assert session.user.id == user.id
    assert accounts.people[user.id].password_hash == f"old${GOOD}"
    passwords.full = False
    await membership.sign_in("ada@example.test", GOOD)
    assert accounts.people[user.id].password_hash == f"plain${GOOD}"


async def test_a_full_pool_says_so(membership: Membership, passwords: PlainPasswords) -> None:
    passwords.full = True
    with pytest.raises(Overloaded) as full:
        await membership.sign_up("ada@example.test", GOOD, "Ada")
    assert full.value.limit == "password_queue_max"


async def test_refresh_reads_the_role_again(membership: Membership, accounts: ListAccounts) -> None:
    session = await membership.sign_up("ada@example.test", GOOD, "Ada")
    accounts.set_role(session.user.id, "admin")
    assert (await membership.refresh(session.user.id)).access_token.endswith("admin")
    with pytest.raises(Problem) as gone:
        await membership.refresh(999)
    assert gone.value.code == "unauthorized"
