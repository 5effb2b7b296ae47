"""Credentials: what an account's e-mail, name and password may be. Nothing is stored here."""

import re
import unicodedata
from typing import Final

from miaosha.domain.errors import Problem
from miaosha.domain.typed import email_address

EMAIL_MAX: Final = 254
NAME_MAX: Final = 80
PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 128

_EMAIL = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


def canonical_email(text: str) -> str | None:
    """In the one form that is kept (`domain.typed`), or None if it is not an address mail can be
    sent to. Only ASCII: an internationalised domain is given in its xn-- form."""
    if any(sign in "\r\n" for sign in text.strip()):
        return None  # what could forge a header is not mended
    email = email_address(text)
    if len(email) > EMAIL_MAX or not _EMAIL.fullmatch(email):
        return None
    local, _, _ = email.partition("@")
    return email if len(local) <= 64 else None


def normal_password(password: str) -> str:
    """The same characters typed on another keyboard give the same password (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str) -> str:
    """The password to hash, once it is known not to be guessable.

    Raises:
        Problem: bad_request (field password) if it is too short or too long.
    """
    normal = normal_password(password)
    if not PASSWORD_MIN <= len(normal) <= PASSWORD_MAX:
        raise Problem(
            "bad_request",
            f"A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters.",
            field="password",
        )
    return normal


def too_guessable() -> Problem:
    return Problem("bad_request", "This password is among the first to be tried.", field="password")
