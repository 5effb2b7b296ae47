"""Cast: the six roles, by name, and what each does from its start on."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from tests.lab.gateway import gateway
from tests.lab.process import Process
from tests.lab.roles import api, consumer, mailer, publisher, scheduler

ROLES: Final[Mapping[str, Callable[[Process], Awaitable[None]]]] = MappingProxyType(
    {
        "publisher": publisher,
        "consumer": consumer,
        "scheduler": scheduler,
        "api": api,
        "mailer": mailer,
        "gateway": gateway,
    }
)
