"""Who may have an account: e-mails, names, passwords; and what a sign-in costs and tells."""

import contextlib

import pytest

from miaosha.domain.errors import Overloaded, Problem
from miaosha.usecases.accounts import Membership
from miaosha.usecases.credentials import canonical_email, check_password
from tests.usecases.people import ListAccounts, PlainPasswords, PlainTokens, StillClock

GOOD = "a purple teapot"


@pytest.fixture
def accounts() -> ListAccounts:
    return ListAccounts()


@pytest.fixture
def passwords() -> PlainPasswords:
    return PlainPasswords()


@pytest.fixture
def membership(accounts: ListAccounts, passwords: PlainPasswords) -> Membership:
    return Membership(accounts, passwords, PlainTokens(), StillClock())


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


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 129,
        "password",
        "Password1!",
        "P@ssw0rd",
        "passwordpassword",
        "letmein123",
        "sunshine2026",
        "12345678",
        "87654321",
        "qwertyui",
        "1q2w3e4r",
        "aaaaaaaa",
        "abcabcabc",
        "abababab",
        "ada@example.test",
        "ada@example.test1",
        "Ada Lovelace",
        "miaosha!!",
    ],
)
def test_passwords_everybody_tries_first(password: str) -> None:
    with pytest.raises(Problem) as refused:
        check_password(password, "ada@example.test", "Ada Lovelace")
    assert (refused.value.code, refused.value.field) == ("bad_request", "password")


_WORST = """
    password1 password123 Password1! P@ssw0rd123 Pa55w0rd! Admin@123 Qwerty@123 Abcd@1234 admin1234
    adminadmin root1234 changeme1 letmein! letmeinnow welcome1 Welcome2024 Summer2023! mypassword1
    123456789 1234567890 0987654321 11223344 12344321 147258369 789456123 31415926 14021990 25121985
    123456789a a12345678 abc12345 abcd1234 1234abcd a1b2c3d4 1q2w3e4r5t 1qaz2wsx 1qaz2wsx3edc
    !qaz2wsx zaq12wsx qazwsxedc qweasdzxc 123qweasd qwer1234 asdf1234 asdfasdf zxcvbnm123
    qwerty12345 iloveyou2 iloveme1 ilovejesus loveyou1 princess1 superman123 spiderman1 trustno1!
    football1
    sunshine1 butterfly1 whatever1 starwars1 dragon123 monkey12 liverpool1 juventus1 realmadrid
    michelle1 jennifer alexander christian jonathan james007 agent007 blink182 metallica1 hellokitty
    helloworld drowssap opensesame passpass testing123 november january1 friday13 forever21 lucky123
    woaini520 woaini1314 5201314520 qq123456789 zhang123 taiwan123 motdepasse1 contraseña soleil123
    senha123 galatasaray bismillah1 aaa111111 123abc123 12345qwert aabbccdd"""
WORST = _WORST.split()


@pytest.mark.parametrize("password", WORST)
def test_the_top_of_every_leaked_list_is_refused(password: str) -> None:
    with pytest.raises(Problem):
        check_password(password, "ada@example.test", "Ada Lovelace")


def test_a_long_password_is_judged_at_once() -> None:
    for piece in ("1a!", "abcqwe1", "ilove", "a"):
        check = (piece * 128)[:127] + "~"
        with contextlib.suppress(Problem):
            check_password(check, "ada@example.test", "Ada Lovelace")


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "gravel tomato lantern",
        "hedgehog symphony",
        "banana orange flower winter",
        "tr0ub4dor&3",
        "R7kd92mQx1",
        "9f8a7c6b5d",
        "correct horse",
        "x7$Kp2!q",
        "пароль из слов",
        "密碼密碼甲乙丙丁",
        "    spaces    matter",
        "💡" * 4 + "abcd",
    ],
)
def test_passwords_that_will_do(password: str) -> None:
    assert check_password(password, "ada@example.test", "Ada Lovelace")


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
