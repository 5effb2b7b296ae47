"""Roles: the names of the processes that a platform consists of."""

from typing import Final

LISTENING: Final = ("publisher", "gateway", "api")  # they serve requests, behind the edge
WORKERS: Final = ("consumer", "scheduler", "mailer")
