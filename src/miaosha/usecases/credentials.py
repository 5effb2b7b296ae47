"""What an account's e-mail, name and password may be. Pure rules; nothing here stores or hashes.

A common password is recognised by its shape (a well-known word with decorations, a keyboard walk,
a repetition, the buyer's own e-mail or name), not by a list: a list is beaten by adding `1!`.
"""

import re
import unicodedata
from typing import Final

from miaosha.domain.errors import Problem

EMAIL_MAX: Final = 254
NAME_MAX: Final = 80
PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 128

_EMAIL = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
_LEET = str.maketrans("013457@$!", "oieastasi")
_WALKS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1q2w3e4r5t6y7u8i9o0p",
)
_COMMON: Final = """
    password passwort passwd motdepasse contrasena parola pass letmein welcome willkommen
    bienvenue hello hallo iloveyou loveyou love lovely sunshine princess prinzessin dragon monkey
    football baseball basketball soccer hockey master shadow superman batman spiderman pokemon
    starwars trustno trustnoone whatever qwerty qwertz azerty qwertyuiop asdfghjkl zxcvbnm admin
    administrator root user guest test testing tester demo sample secret changeme default login
    access freedom computer internet server windows linux google facebook samsung iphone android
    summer sommer winter spring autumn herbst january february march april june july august
    september october november december monday tuesday wednesday thursday friday saturday sunday
    michael jennifer jessica ashley charlie andrew thomas daniel jordan hunter matthew anthony
    nicole amanda michelle robert justin joshua william richard killer pepper ginger buster
    cookie cheese chocolate banana orange flower butterfly angel baby babygirl family friends
    forever happy lucky money mustang ferrari porsche mercedes harley corvette yankees cowboys
    eagles liverpool arsenal chelsea barcelona juventus realmadrid miaosha seckill flashsale
    woaini nihao"""
_WORDS = frozenset(_COMMON.split())


def canonical_email(text: str) -> str | None:
    """Trimmed and lower case, or None if it is not an address mail can be sent to. Only ASCII:
    an internationalised domain is given in its xn-- form."""
    email = text.strip().lower()
    if len(email) > EMAIL_MAX or not _EMAIL.fullmatch(email):
        return None
    local, _, _ = email.partition("@")
    return email if len(local) <= 64 else None


def plain_line(text: str, field: str, most: int) -> str:
    """The text without outer blanks.

    Raises:
        Problem: bad_request naming `field` if it is empty, longer than `most` or has control
            characters (which could forge a header or a line somewhere later).
    """
    line = unicodedata.normalize("NFC", text).strip()
    if not line or len(line) > most:
        raise Problem("bad_request", f"Expected 1 to {most} characters.", field=field)
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in line):
        raise Problem("bad_request", "Control characters are not allowed.", field=field)
    return line


def normal_password(password: str) -> str:
    """The same characters typed on another keyboard give the same password (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, email: str, name: str) -> str:
    """The password to hash.

    Raises:
        Problem: bad_request (field password) if it is too short, too long or a common one.
    """
    normal = normal_password(password)
    if not PASSWORD_MIN <= len(normal) <= PASSWORD_MAX:
        raise Problem(
            "bad_request",
            f"A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters.",
            field="password",
        )
    if _common(normal, email, name):
        raise Problem(
            "bad_request", "This password is among the first to be tried.", field="password"
        )
    return normal


def _common(password: str, email: str, name: str) -> bool:
    low = password.lower()
    if len(set(low)) < 4 or any(low in walk or low in walk[::-1] for walk in _WALKS):
        return True
    own = {email, email.partition("@")[0], name.lower(), name.lower().replace(" ", "")}
    roots = {low, low.translate(_LEET), *_stripped(low)}
    return any(root in _WORDS or root in own or _repeats(root) for root in roots)


def _stripped(low: str) -> set[str]:
    """Without the digits and signs people put around a word, also with digits read as letters."""
    bare = low.strip("0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return {bare, bare.translate(_LEET)}


def _repeats(text: str) -> bool:
    """A short piece over and over: abcabcabc, passwordpassword."""
    at = (text + text).find(text, 1)
    return 0 < at < len(text) and (at <= 4 or text[:at] in _WORDS)
