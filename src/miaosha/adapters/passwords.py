"""Passwords: argon2id in bounded pools of threads (the library releases the interpreter lock).

Three crowds have threads and waiting places of their own, so that none keeps another out. They are
people known to the account they sign in to, strangers who sign in, and new accounts. Memory is
bounded by threads x memory_kib.
"""

import os
from collections.abc import Sequence
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from miaosha.adapters.guessing import is_guessable
from miaosha.adapters.worker_threads import WorkerThreads

WORKERS_MAX: Final = 32  # of one process; each takes memory_kib
PASSWORD_CHARS_MAX: Final = 128  # longer ones are wrong without being hashed as they are
LIMIT: Final = "password_queue_max"


class Argon2Passwords:
    """Implements ports/passwords.Passwords.

    Args:
        queue_max: passwords of each crowd that may wait for a thread; more raise Overloaded.
        workers: threads for strangers, and half as many for each of the others; default: the
            machine's cores, up to WORKERS_MAX.
        memory_kib, time_cost: argon2id parameters (OWASP's minimum with p = 1).
    """

    def __init__(
        self,
        queue_max: int = 64,
        *,
        workers: int | None = None,
        memory_kib: int = 19_456,
        time_cost: int = 2,
    ) -> None:
        workers = workers or min(os.cpu_count() or 1, WORKERS_MAX)
        half = max(1, workers // 2)
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._dummy = self._hasher.hash(os.urandom(16).hex())
        self._strangers = WorkerThreads("strangers", workers, queue_max, LIMIT)
        self._known = WorkerThreads("known", half, queue_max, LIMIT)
        self._new = WorkerThreads("sign-ups", half, queue_max, LIMIT)

    async def guessable(self, password: str, own: Sequence[str]) -> bool:
        return await self._new.run(lambda: is_guessable(password, own))

    async def hash(self, password: str) -> str:
        return await self._new.run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password: str, encoded: str | None, *, known: bool = False) -> bool:
        threads = self._known if known else self._strangers
        usable = bool(encoded) and len(password) <= PASSWORD_CHARS_MAX
        tried = encoded if usable and encoded else self._dummy
        # A hash of another scheme fails before any work: the dummy's follows.
        matches = await threads.run(lambda: self._matches(tried, password))
        if matches is None:
            await threads.run(lambda: self._matches(self._dummy, password))
        return usable and matches is True

    def outdated(self, encoded: str) -> bool:
        try:
            return self._hasher.check_needs_rehash(encoded)
        except InvalidHashError:
            return True

    def close(self) -> None:
        """Does not wait for hashes under way."""
        for threads in (self._strangers, self._known, self._new):
            threads.close()

    def _matches(self, encoded: str, password: str) -> bool | None:
        """None if `encoded` is not an argon2 hash."""
        try:
            return self._hasher.verify(encoded, _bytes(password[:PASSWORD_CHARS_MAX]))
        except InvalidHashError:
            return None
        except Argon2Error:
            return False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
