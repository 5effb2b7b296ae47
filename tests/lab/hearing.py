"""Hearing: what the roles log, as lines of the trace; an exception they did not expect is found."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from logging import INFO
from typing import TYPE_CHECKING, Any

import structlog

from tests.lab.loop import LIFE

if TYPE_CHECKING:
    from tests.lab.world import World


@contextmanager
def heard(world: "World") -> Iterator[None]:
    """Within, logs go to the world. Nothing is written anywhere."""

    def hear(_: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        process = LIFE.get()
        who = getattr(process, "name", "laboratory")
        words = " ".join(f"{key}={value}" for key, value in event.items() if key != "exc_info")
        world.say(who, words)
        world.counts[f"log {event['event']}"] += 1
        world.oracles.event(who, event)
        if method == "exception" or event.get("exc_info"):
            world.oracles.logged(who, event)
        raise structlog.DropEvent

    with _to(hear):
        yield


@contextmanager
def unheard() -> Iterator[None]:
    """Within, logs go nowhere."""

    def drop(*_: Any) -> Mapping[str, Any]:
        raise structlog.DropEvent

    with _to(drop):
        yield


@contextmanager
def _to(hear: Callable[..., Mapping[str, Any]]) -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(INFO),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
