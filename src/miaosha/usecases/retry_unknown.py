"""Retry of unknown: what became of a ledger write whose commit was sent and answer was lost."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from miaosha.domain.errors import Fault, OutcomeUnknown

T = TypeVar("T")


async def retry_unknown(write: Callable[[], Awaitable[T]]) -> T:
    """The answer of `write`; if it was lost, that of the same call again. It finds by the rid what
    is there, and changes nothing twice.

    Args:
        write: a call of the ledger whose repeat returns what the first returned (grant, capture,
            refuse, extend, mark_refunded; not release, which returns only what it moved itself).

    Raises:
        OutcomeUnknown: the second call cannot tell either.
    """
    try:
        return await write()
    except OutcomeUnknown as lost:
        try:
            return await write()
        except Fault:
            raise lost from None
