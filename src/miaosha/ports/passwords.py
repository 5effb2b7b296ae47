"""Port of passwords: hashing, and the judge of which are guessable."""

from collections.abc import Sequence
from typing import Protocol


class Passwords(Protocol):
    """argon2id, and a judge of passwords, in bounded pools: none of it runs on the event loop.

    Every method that is awaited raises Overloaded("password_queue_max").
    """

    async def guessable(self, password: str, own: Sequence[str]) -> bool:
        """Would somebody who tries the likely ones first come to this password soon?

        Args:
            password: in NFKC.
            own: the buyer's e-mail address and name: as easy as any word.
        """

    async def hash(self, password: str) -> str:
        """The encoded hash, with its salt and parameters."""

    async def verify(self, password: str, encoded: str | None, *, known: bool = False) -> bool:
        """False, after the same work, when `encoded` is None (unknown user) or has no password.

        Args:
            known: the caller has proved an earlier sign-in to this account. It has a queue of its
                own, which strangers cannot fill.
        """

    def outdated(self, encoded: str) -> bool:
        """Whether `encoded` has other parameters than today's, or is no hash."""
