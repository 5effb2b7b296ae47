"""In memory: accounts, passwords, tokens, as their ports promise."""

from collections.abc import Sequence

import msgspec

from miaosha.adapters.guessing import is_guessable
from miaosha.domain.errors import Overloaded, Problem
from miaosha.ports.accounts import User
from miaosha.ports.tokens import CheckoutClaim, Identity


class ListAccounts:
    def __init__(self) -> None:
        self.people: dict[int, User] = {}

    async def create(
        self, email: str, name: str, password_hash: str, role: str, now_ms: int
    ) -> User:
        if await self.by_email(email):
            raise Problem("email_taken")
        user = User(len(self.people) + 1, email, name, role, password_hash)
        self.people[user.id] = user
        return user

    async def create_many(self, people: Sequence[tuple[str, str]], now_ms: int) -> list[int]:
        return [(await self.create(e, n, "", "buyer", now_ms)).id for e, n in people]

    async def by_email(self, email: str) -> User | None:
        return next((user for user in self.people.values() if user.email == email), None)

    async def by_id(self, user_id: int) -> User | None:
        return self.people.get(user_id)

    async def set_password(self, user_id: int, password_hash: str) -> None:
        user = self.people[user_id]
        self.people[user_id] = msgspec.structs.replace(user, password_hash=password_hash)

    def set_role(self, user_id: int, role: str) -> None:
        self.people[user_id] = msgspec.structs.replace(self.people[user_id], role=role)


class PlainPasswords:
    """`verified` notes what each verification worked on; `full`: the pool takes no more."""

    def __init__(self) -> None:
        self.verified: list[str | None] = []
        self.full = False

    async def hash(self, password: str) -> str:
        if self.full:
            raise Overloaded("password_queue_max")
        return f"plain${password}"

    async def guessable(self, password: str, own: Sequence[str]) -> bool:
        return is_guessable(password, own)

    async def verify(self, password: str, encoded: str | None, *, known: bool = False) -> bool:
        self.verified.append(encoded)
        return encoded is not None and encoded.partition("$")[2] == password

    def outdated(self, encoded: str) -> bool:
        return encoded.startswith("old$")


class PlainTokens:
    def access(self, user_id: int, role: str, now_ms: int) -> str:
        return f"{user_id}.{role}"

    def verify_access(self, token: str, now_ms: int) -> Identity:
        user_id, _, role = token.partition(".")
        return Identity(int(user_id), role, now_ms // 1000 + 60)

    def checkout(self, rid: str, sale_id: int, user_id: int, pay_by_ms: int) -> str:
        return f"{rid}|{sale_id}|{user_id}|{pay_by_ms}"

    def verify_checkout(self, token: str, now_ms: int) -> CheckoutClaim:
        rid, sale_id, user_id, pay_by_ms = token.split("|")
        return CheckoutClaim(rid, int(sale_id), int(user_id), int(pay_by_ms) <= now_ms)

    def device(self, email: str, device_id: str | None, now_ms: int) -> str:
        return f"{email}|{device_id or 'new'}"

    def verify_device(self, token: str, email: str, now_ms: int) -> str | None:
        of, _, device_id = token.partition("|")
        return device_id if of == email else None

    def question_key(self) -> bytes:
        return b"q" * 32
