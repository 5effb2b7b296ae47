"""Connect: from a URL to a Redis client with bounds on everything, and from its errors to ours.

Every Redis adapter (store, broker, bus, heartbeats) opens its client here and wraps its calls in
`reaching`. So a server that is away looks the same everywhere: DependencyDown.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from miaosha.adapters.options import checked_options
from miaosha.adapters.redis.cluster import each_host, open_cluster
from miaosha.adapters.redis.packing import PACKING
from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.domain.urls import server_of
from miaosha.serving.ending import cancellations

Client: TypeAlias = Redis | RedisCluster

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
PLAIN = {"db": False}  # options in a URL, by name: whether it is a file
TLS = {
    **PLAIN,
    **dict.fromkeys(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), True),
    **dict.fromkeys(("ssl_cert_reqs", "ssl_check_hostname"), False),
}
CONNECT_TIMEOUT_S = 1.0
COMMAND_TIMEOUT_S = 2.0
RETRIES = 2  # of one command after a lost connection or a timeout: all our scripts are idempotent
CONNECTIONS_MAX = 64  # per process (per process and node in a cluster); more wait COMMAND_TIMEOUT_S

# Answers that say "not now" or "not here". They arrive as plain ResponseErrors, or, out of a
# script, with the script's own error around them.
_AWAY = frozenset(
    [
        "BUSY",
        "LOADING",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "MASTERDOWN",
        "READONLY",
        "MISCONF",
        "OOM",
        "NOREPLICAS",
        "UNBLOCKED",
        "MOVED",
        "ASK",
    ]
)


def connect(
    url: str,
    *,
    timeout_s: float | None = COMMAND_TIMEOUT_S,
    connections_max: int = CONNECTIONS_MAX,
) -> Client:
    """A client that answers bytes; nothing is sent before its first command.

    Args:
        url: unix:///path.sock, redis://, rediss://, redis+cluster:// or rediss+cluster://, with
            user, password and database as usual. A cluster may name several of its nodes, with
            commas between them: one that answers is enough.
        timeout_s: seconds for one try of one command; None for commands that block at the server.
        connections_max: connections at most (of each node); a call beyond waits its turn.

    Raises:
        SettingsError: the URL is none of these.
    """
    scheme = _checked(url)
    options: dict[str, Any] = {
        "protocol": 2,  # one shape of answers from every server we support
        "socket_timeout": timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": scheme != "unix",
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), RETRIES),
    }
    if scheme == "unix":
        del options["socket_keepalive"]
    try:
        if scheme.endswith("+cluster"):
            plain = url.replace("+cluster", "", 1)
            return open_cluster(
                plain, connections_max=connections_max, turn_s=COMMAND_TIMEOUT_S, **options
            )
        pool = BlockingConnectionPool.from_url(
            url, max_connections=connections_max, timeout=COMMAND_TIMEOUT_S, **options
        )
    except (
        ValueError,
        exceptions.RedisClusterException,
    ):  # its text may quote a part of the password
        raise SettingsError(
            f"Redis URL: expected {scheme}://[user:password@]host:port[/db] or unix:///path"
        ) from None
    pool.connection_class = PACKING[pool.connection_class]
    return Redis.from_pool(pool)


def _checked(url: str) -> str:
    """The scheme of a URL that redis-py takes and means what it says. Raises SettingsError."""
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise SettingsError(f"Redis URL scheme {scheme!r}: expected one of {', '.join(SCHEMES)}")
    expected = f"Redis URL: expected {scheme}://" + (
        "/path" if scheme == "unix" else "[user:password@]host:port[/db]"
    )
    try:
        for each in each_host(url) if scheme.endswith("+cluster") else [url]:
            parts = urlsplit(each) if scheme == "unix" else server_of(each)
            options = checked_options(parts, TLS if scheme.startswith("rediss") else PLAIN)
            database = options.get("db", "0") if scheme == "unix" else parts.path.strip("/") or "0"
            if scheme == "unix" and (parts.hostname or not parts.path.startswith("/")):
                raise ValueError("without three slashes before an absolute path")
            if not database.isdecimal():
                raise ValueError("with a database that is no number")
            if options.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
                raise ValueError("with an ssl_cert_reqs other than none, optional or required")
    except ValueError as error:
        raise SettingsError(f"{expected}, not one {error}") from None
    return scheme


def is_cluster(client: Client) -> bool:
    return isinstance(client, RedisCluster)


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn "the server is away, starting, full or reorganising itself" into DependencyDown.

    Args:
        what: the dependency's name for the message, e.g. "store".

    Anything else (a wrong command, a script error) is a bug and passes unchanged.
    """
    before = cancellations()
    try:
        yield
    except (
        exceptions.ConnectionError,  # includes loading, authentication, no free connection
        exceptions.TimeoutError,
        exceptions.ClusterError,
        exceptions.RedisClusterException,
        exceptions.TryAgainError,
        exceptions.ReadOnlyError,
        exceptions.OutOfMemoryError,
        OSError,  # includes asyncio's TimeoutError
    ) as error:
        raise DependencyDown(f"{what}: {type(error).__name__}: {error}") from error
    except exceptions.ResponseError as error:
        if is_away(error):
            raise DependencyDown(f"{what}: {error}") from error
        raise
    finally:
        # redis-py sends under asyncio.wait_for, which on Python 3.11 swallows a cancellation that
        # arrives as the send completes (python/cpython#86296): a loop would never end.
        if cancellations() > before:
            raise asyncio.CancelledError


def is_away(error: Exception) -> bool:
    """Whether an answer of the server means "ask again later" rather than "that was wrong"."""
    first = str(error).split(" ", 1)[0].rstrip(":")
    return first in _AWAY or isinstance(error, exceptions.AskError)
