"""Readiness: asks everything a role stands on at once whether it answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from miaosha.serving.http_response import response

Check = Callable[[], Awaitable[None]]  # raises if what it asks is away
Checks = Mapping[str, Check]
CHECK_TIMEOUT_S: Final = 2.0


async def readiness(checks: Checks) -> tuple[bool, dict[str, str]]:
    """Run all checks at once, each for at most two seconds.

    Returns:
        Whether all are "ok"; and by name "ok" or the kind of failure.
    """
    names = list(checks)  # a role that starts adds some meanwhile
    states = await asyncio.gather(*(_run(checks[name]) for name in names))
    return all(state == "ok" for state in states), dict(zip(names, states, strict=True))


async def _run(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:
        return type(error).__name__
    return "ok"


def ready_response(checks: Mapping[str, str], *, keep: bool = True) -> bytes:
    """200 if every check says ok, else 503, with the checks by name."""
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "not_ready", "checks": checks}
    return response(200 if ready else 503, msgspec.json.encode(body), keep=keep)
