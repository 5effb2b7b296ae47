"""Which passwords are too easy to guess, and how long the judge of them may take."""

import asyncio
import random
import time

import pytest

from miaosha.adapters.guessing import is_guessable
from miaosha.adapters.passwords import Argon2Passwords

OWN = ("ada@example.test", "Ada Lovelace")


@pytest.mark.parametrize(
    "password",
    [
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
        "ada@example.test?",
        "AdaLovelace1",
        "密碼密碼甲乙丙丁",  # "password" twice, then the Chinese a, b, c, d
        "💡" * 4 + "abcd",
        "4957203816",  # a phone number
    ],
)
def test_passwords_everybody_tries_first_are_refused(password: str) -> None:
    assert is_guessable(password, OWN)


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


@pytest.mark.parametrize("password", _WORST.split())
def test_the_top_of_every_leaked_list_is_refused(password: str) -> None:
    assert is_guessable(password, OWN)


@pytest.mark.parametrize(
    "password",
    [
        "a purple teapot",
        "gravel tomato lantern",
        "hedgehog symphony",
        "banana orange flower winter",
        "tr0ub4dor&3",
        "R7kd92mQx1",
        "9f8a7c6b5d",
        "correct horse",
        "x7$Kp2!q",
        "пароль из слов",
        "白日依山盡黃河入海流",
        "    spaces    matter",
        "{<[|+%}" + "p9Vq",  # signs of a password generator
    ],
)
def test_passwords_that_will_do_are_taken(password: str) -> None:
    assert not is_guessable(password, OWN)


def test_a_long_address_of_ones_own_is_recognised() -> None:
    email = f"maximiliane.{'von-und-zu-' * 4}musterstadt@post.example"
    assert is_guessable(email, (email, "Max"))
    assert is_guessable(email.partition("@")[0], (email, "Max"))


def test_the_words_of_one_call_are_not_those_of_the_next() -> None:
    word = "zyxquorvth"
    assert is_guessable(word, (f"{word}@example.test",))
    assert not is_guessable(word, OWN)


SIGNS = "4@8({[<369!1|70$5+%2"
WORST_CASES = {
    "every sign that stands for a letter": (SIGNS * 7)[:128],
    "signs at random": "".join(random.Random(1).choices(SIGNS, k=128)),
    "signs and letters": "".join(random.Random(2).choices(SIGNS + "aeiost", k=128)),
    "signs, repeated": ("".join(random.Random(3).sample(SIGNS, 20)) * 7)[:128],
    "found by a search": "!sI45iSI445!%455!$qSiSa1Iei5Sia1l@4id!1a" * 3,
    "one letter": "a" * 127 + "~",
    "two letters": "".join(random.Random(4).choices("ab", k=128)),
    "a small alphabet": "".join(random.Random(5).choices("1ai@", k=121)) + "q~w^z|j",
    "digits": "".join(random.Random(6).choices("0123456789", k=128)),
    "dates": ("1.1.1991/31-12-2049 " * 7)[:128],
    "words": ("PaSsWoRdLoVeMoNkEy" * 8)[:128],
    "fillers": ("imamtheiamyou" * 10)[:128],
    "a walk on the keyboard": ("qwertyuiop[]asdfghjkl;" * 6)[:128],
    "no Latin letters": "각" * 100 + "힣뷁쇓" * 9,
}


@pytest.mark.parametrize("password", WORST_CASES.values(), ids=WORST_CASES)
def test_no_password_takes_long_to_judge(password: str) -> None:
    """In the thread's own processor time, so that a busy machine is not blamed: 5 to 35 ms where
    it was written; without the bounds 1,000 to 4,000."""
    own = (f"{'a.' * 31}b@{'c.' * 90}example", "A b " * 20)
    is_guessable("warm up", own)
    costs = []
    for _ in range(3):
        began = time.thread_time()
        is_guessable(password, own)
        costs.append(time.thread_time() - began)
    assert min(costs) < 0.25


async def test_the_event_loop_goes_on_while_twenty_passwords_are_judged() -> None:
    passwords = Argon2Passwords(workers=2, memory_kib=64, time_cost=1)
    worst = [f"{i:02}{WORST_CASES['signs and letters']}"[:128] for i in range(20)]
    start = time.perf_counter()
    judging = asyncio.gather(*(passwords.guessable(text, OWN) for text in worst))
    waits = []
    while not judging.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append(time.perf_counter() - began)
    passwords.close()
    assert max(waits) < (time.perf_counter() - start) / 3  # on the loop: all of it
    assert await judging == [False] * 20
