"""Guessing: which passwords an attacker would try soon, by zxcvbn (Wheeler, USENIX Security 2016).

zxcvbn is plain Python. Its work grows fast with the length of a password and with the letters that
signs may stand for. Both are bounded here: the worst password costs some 30 ms.
"""

import threading
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from zxcvbn import matching, zxcvbn

EXAMINED_MAX: Final = 40  # characters; whoever chose the rest chose these, too
GUESSES_MIN: Final = 10**8  # eight characters at random are worth as much
DIGITS_MAX: Final = 10  # a password of digits alone is a date, a phone number or a PIN
OWN_WORDS_MAX: Final = 40
OWN_WORD_MIN: Final = 3
SHOP_WORDS: Final = ("miaosha", "seckill", "flashsale")

# The signs that people put for letters. The library's own table has {, [, <, |, +, % and 6, too;
# a password with all of them had 500 spellings to try, which took 4 s. These have 12.
_SIGNS: Final = {
    "a": ["4", "@"],
    "b": ["8"],
    "e": ["3"],
    "g": ["9"],
    "i": ["1", "!"],
    "l": ["1"],
    "o": ["0"],
    "s": ["$", "5"],
    "t": ["7"],
    "z": ["2"],
}
# The library keeps the words of the present call in a dictionary that all calls share.
_one_at_a_time = threading.Lock()


def is_guessable(password: str, own: Sequence[str] = ()) -> bool:
    """Does an attacker who tries the likely ones first need fewer than GUESSES_MIN tries?

    Args:
        password: in NFKC. Only its first EXAMINED_MAX characters count.
        own: the buyer's e-mail address and name, which are tried first.

    It may be called from several threads; they take turns.
    """
    if password.isdigit() and len(password) <= DIGITS_MAX:
        return True
    words = [*SHOP_WORDS, *dict.fromkeys(_own_words(own))][: OWN_WORDS_MAX + len(SHOP_WORDS)]
    with _one_at_a_time:
        matching.L33T_TABLE.clear()
        matching.L33T_TABLE.update(_SIGNS)
        judged = zxcvbn(password[:EXAMINED_MAX], words)
    return bool(judged["guesses"] < GUESSES_MIN)


def _own_words(own: Sequence[str]) -> Iterator[str]:
    """As long as what is examined, so that a long address is recognised in it."""
    for text in own:
        low = unicodedata.normalize("NFKC", text).lower()
        local, _, domain = low.partition("@")
        for word in (low, low.replace(" ", ""), local, domain, *low.split()):
            if len(word) >= OWN_WORD_MIN:
                yield word[:EXAMINED_MAX]
