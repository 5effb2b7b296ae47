"""Patience: how long the product's own clients wait for an answer, by the product's constants."""

from typing import Final

from miaosha.adapters.mail.smtp import TIMEOUT_S as MAIL_S
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S as RABBIT_S
from miaosha.adapters.rabbitmq.link import HEARTBEAT_S
from miaosha.adapters.rabbitmq.reminders import TAKEN_S
from miaosha.adapters.redis.connect import COMMAND_TIMEOUT_S as REDIS_S
from miaosha.adapters.redis.connect import RETRIES
from miaosha.adapters.sql.database import READ_TIMEOUT_S, WRITE_TIMEOUT_S
from tests.lab.broker_server import Kind
from tests.lab.dice import Row

SQL_S: Final = max(READ_TIMEOUT_S, WRITE_TIMEOUT_S)
HUNG_S: Final = 3.0 * HEARTBEAT_S  # until either side of RabbitMQ's connection gives it up
DELIVERED: Final = "broker.fetch"  # there: a client is sent these, and asks for nothing
LONGEST_S: Final = SQL_S  # of all but mails, which nobody waits for


class Patience:
    """Args:
    kind: of the broker: one client waits longer than the other.
    confirm_s: until a batch that is published is given up.
    """

    def __init__(self, kind: Kind, confirm_s: float) -> None:
        self._single = single = kind == "single"
        self._redis = ("store",) if single else ("store", "broker")
        self._servers = {
            "store": REDIS_S,
            "broker": RABBIT_S if single else REDIS_S,
            "sql": SQL_S,
            "provider": SQL_S,  # the sandbox is a part of it
            "mail": MAIL_S,
        }
        self._calls = {"broker.publish": confirm_s}
        if single:
            self._calls["broker.remind"] = TAKEN_S

    def most_s(self, call: str, server: str) -> float:
        """For one try."""
        return self._calls.get(call, self._servers[server])

    def of(self, call: str, server: str, row: Row) -> float:
        """Seconds until this call is given up. The Redis client tries again, so that it waits one
        to three times; whether what failed then was a connection or an answer is rolled."""
        once_s = self.most_s(call, server)
        again = server in self._redis and call not in self._calls
        return once_s * (1 + row.below(1 + RETRIES)) if again else once_s

    def cut_off(self, call: str, server: str, row: Row) -> float:
        """Seconds until a client that hears nothing at all gives this call up."""
        if self._single and call.startswith(DELIVERED):
            return HUNG_S
        return self.of(call, server, row)
