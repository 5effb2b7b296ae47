"""Accounts port: people who sign in, in SQL."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class User(msgspec.Struct, frozen=True):
    id: int
    email: str
    name: str
    role: str  # buyer | admin
    password_hash: str  # "" for one that cannot sign in


class Accounts(Protocol):
    async def create(
        self, email: str, name: str, password_hash: str, role: str, now_ms: int
    ) -> User:
        """`email` is canonical (trimmed, lower case). Raises Problem("email_taken")."""

    async def create_many(self, people: Sequence[tuple[str, str]], now_ms: int) -> list[int]:
        """Buyers (email, name) without a password, in bulk; their ids in order."""

    async def by_email(self, email: str) -> User | None:
        """The account of this canonical e-mail; None: there is none."""

    async def by_id(self, user_id: int) -> User | None:
        """None: there is none."""

    async def set_password(self, user_id: int, password_hash: str) -> None:
        """Nothing if there is no such account."""
