"""Accounts: the port `ports.accounts.Accounts` in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import inserted_id
from miaosha.adapters.sql.tables import users
from miaosha.domain.errors import Problem
from miaosha.ports.accounts import User

BULK_MAX = 1_000  # accounts inserted by one transaction, so that others get their turn

_COLUMNS = [users.c[name] for name in User.__struct_fields__]


class SqlAccounts:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(
        self, email: str, name: str, password_hash: str, role: str, now_ms: int
    ) -> User:
        values = {
            "email": email,
            "name": name,
            "role": role,
            "password_hash": password_hash,
            "created_at_ms": now_ms,
        }

        def unit(connection: Connection) -> User:
            user_id = inserted_id(connection, insert(users).values(**values))
            return User(id=user_id, email=email, name=name, role=role, password_hash=password_hash)

        try:
            return await self._db.write(unit)
        except IntegrityError:
            raise Problem("email_taken", field="email") from None

    async def create_many(self, people: Sequence[tuple[str, str]], now_ms: int) -> list[int]:
        """Not one transaction: each `BULK_MAX` people are. Raises Problem("email_taken")."""
        ids: list[int] = []
        for start in range(0, len(people), BULK_MAX):
            ids += await self._create_chunk(people[start : start + BULK_MAX], now_ms)
        return ids

    async def _create_chunk(self, people: Sequence[tuple[str, str]], now_ms: int) -> list[int]:
        rows = [
            {
                "email": email,
                "name": name,
                "role": "buyer",
                "password_hash": "",
                "created_at_ms": now_ms,
            }
            for email, name in people
        ]
        emails = [email for email, _ in people]

        def unit(connection: Connection) -> list[int]:
            connection.execute(insert(users), rows)
            query = select(users.c.email, users.c.id).where(users.c.email.in_(emails))
            found: dict[str, int] = {row.email: row.id for row in connection.execute(query)}
            return [found[email] for email in emails]

        try:
            return await self._db.write(unit)
        except IntegrityError:
            raise Problem("email_taken", field="email") from None

    async def _one(self, query: Select[Any]) -> User | None:
        row = await self._db.read(lambda connection: connection.execute(query).first())
        return User(**row._mapping) if row else None

    async def by_email(self, email: str) -> User | None:
        return await self._one(select(*_COLUMNS).where(users.c.email == email))

    async def by_id(self, user_id: int) -> User | None:
        return await self._one(select(*_COLUMNS).where(users.c.id == user_id))

    async def set_password(self, user_id: int, password_hash: str) -> None:
        statement = update(users).where(users.c.id == user_id).values(password_hash=password_hash)
        await self._db.write(lambda connection: connection.execute(statement))
