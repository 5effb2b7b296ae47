"""argon2id in a bounded pool of threads (the library lets go of the interpreter lock).

Memory is bounded by workers x memory_kib. A permit belongs to the work, not to the request: a
client that hangs up does not make room for another hash while its own is still running.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from miaosha.domain.errors import Overloaded

WORKERS_MAX: Final = 32  # of one process; each takes memory_kib
PASSWORD_CHARS_MAX: Final = 128  # longer ones are wrong without being hashed as they are

Answer = TypeVar("Answer")


class Argon2Passwords:
    """Implements ports/outside.Passwords.

    Args:
        queue_max: hashes that may wait for a worker; more raise Overloaded.
        workers: threads; default: the machine's cores, up to WORKERS_MAX.
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
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._dummy = self._hasher.hash(os.urandom(16).hex())
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._permits = workers + queue_max

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password: str, encoded: str | None) -> bool:
        usable = bool(encoded) and len(password) <= PASSWORD_CHARS_MAX
        tried = encoded if usable and encoded else self._dummy
        # A hash of another scheme fails before any work: the dummy's follows.
        matches = await self._run(lambda: self._matches(tried, password))
        if matches is None:
            await self._run(lambda: self._matches(self._dummy, password))
        return usable and matches is True

    def outdated(self, encoded: str) -> bool:
        try:
            return self._hasher.check_needs_rehash(encoded)
        except InvalidHashError:
            return True

    def close(self) -> None:
        """Does not wait for hashes under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, encoded: str, password: str) -> bool | None:
        """None if `encoded` is not an argon2 hash."""
        try:
            return self._hasher.verify(encoded, _bytes(password[:PASSWORD_CHARS_MAX]))
        except InvalidHashError:
            return None
        except Argon2Error:
            return False

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        if self._permits <= 0:
            raise Overloaded("password_queue_max")
        self._permits -= 1
        loop = asyncio.get_running_loop()
        try:
            future = self._pool.submit(work)
        except RuntimeError:  # closed: whoever asks now comes from a request that outlived a drain
            self._give_back()
            raise Overloaded("password_queue_max") from None

        def done(_: Future[Answer]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._give_back)

        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def _give_back(self) -> None:
        self._permits += 1


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
