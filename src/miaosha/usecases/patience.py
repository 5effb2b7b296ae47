"""Patience: asks ports again, so that a long work of many reads outlives one short silence."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from miaosha.domain.errors import DependencyDown

TRIES: Final = 3
PAUSE_S: Final = 1.0

Port = TypeVar("Port")


def patient(port: Port) -> Port:
    """`port`, whose coroutines are tried TRIES times while what they read is away. Only for calls
    that change nothing."""
    return cast(Port, _Patient(port))


class _Patient:
    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)
        return _again(call) if inspect.iscoroutinefunction(call) else call


def _again(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(call)
    async def trying(*args: Any, **kwargs: Any) -> Any:
        for tries_left in reversed(range(TRIES)):
            try:
                return await call(*args, **kwargs)
            except DependencyDown:
                if not tries_left:
                    raise
                await asyncio.sleep(PAUSE_S)
        raise AssertionError("unreachable")

    return trying
