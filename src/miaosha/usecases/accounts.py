"""Accounts: sign up, sign in, refresh; who a buyer is, and the access token that says so.

The role is never taken from a caller's body. An unknown e-mail and a wrong password cost the same
work and read the same. Rate limits are the entry point's.
"""

import contextlib
from typing import Final, NamedTuple

from miaosha.domain.credentials import (
    NAME_MAX,
    PASSWORD_MAX,
    canonical_email,
    check_password,
    normal_password,
    too_guessable,
)
from miaosha.domain.errors import Fault, Problem
from miaosha.domain.fields import plain_line
from miaosha.ports.accounts import Accounts, User
from miaosha.ports.clock import Clock
from miaosha.ports.passwords import Passwords
from miaosha.ports.tokens import Tokens

ROLES: Final = ("buyer", "admin")


class SignedInUser(NamedTuple):
    access_token: str
    user: User


class Membership:
    def __init__(
        self, accounts: Accounts, passwords: Passwords, tokens: Tokens, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._tokens = tokens
        self._clock = clock

    async def register(self, email: str, password: str, name: str, role: str = "buyer") -> User:
        """Create an account.

        Args:
            role: buyer or admin; an HTTP route never passes it.

        Raises:
            Problem: bad_request naming the field, email_taken.
            Overloaded: too many passwords are being hashed.
        """
        assert role in ROLES, role
        canonical = canonical_email(email)
        if canonical is None:
            raise Problem(
                "bad_request",
                "Expected an e-mail address like ada@example.com (an international domain: xn--…).",
                field="email",
            )
        called = plain_line(name, "name", NAME_MAX)
        secret = check_password(password)
        if await self._passwords.guessable(secret, (canonical, called)):
            raise too_guessable()
        hashed = await self._passwords.hash(secret)
        return await self._accounts.create(canonical, called, hashed, role, self._clock.now_ms())

    async def sign_up(self, email: str, password: str, name: str) -> SignedInUser:
        """`register` as a buyer, signed in at once."""
        return self._session(await self.register(email, password, name))

    async def sign_in(self, email: str, password: str, *, known: bool = False) -> SignedInUser:
        """Args:
            known: the caller has proved to have signed in to this account before.

        Raises:
            Problem: bad_credentials, whatever of the two is wrong, after the same work.
            Overloaded: too many passwords wait; those of the known do not wait for others.
        """
        canonical = canonical_email(email)
        secret = normal_password(password)
        if len(secret) > PASSWORD_MAX:
            raise Problem("bad_credentials")
        user = await self._accounts.by_email(canonical) if canonical else None
        encoded = user.password_hash if user and user.password_hash else None
        good = await self._passwords.verify(secret, encoded, known=known)
        if user is None or not good:
            raise Problem("bad_credentials")
        if self._passwords.outdated(user.password_hash):
            with contextlib.suppress(Fault):  # the next sign-in tries again
                await self._accounts.set_password(user.id, await self._passwords.hash(secret))
        return self._session(user)

    async def refresh(self, user_id: int) -> SignedInUser:
        """A new access token with the account's present role.

        Raises:
            Problem: unauthorized if the account is gone.
        """
        user = await self._accounts.by_id(user_id)
        if user is None:
            raise Problem("unauthorized")
        return self._session(user)

    def _session(self, user: User) -> SignedInUser:
        return SignedInUser(self._tokens.access(user.id, user.role, self._clock.now_ms()), user)
