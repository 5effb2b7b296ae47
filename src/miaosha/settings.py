"""Settings: every setting of every role, read once from the environment (`MIAOSHA_<NAME>`).

Unknown or bad settings stop the start, naming the key, the value and what was expected. Durations
carry their unit in the name. `docs/settings.md` is generated from this class.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from miaosha.domain.errors import SettingsError
from miaosha.domain.service_links import is_service_link
from miaosha.domain.urls import host_of, origin_of, path_fault, text_fault

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "MIAOSHA_"
SECRET = frozenset({"secret_keys"})
ZERO_ALLOWED = frozenset(
    {
        "metrics_port",
        "port",
        "gateways",
        "sockets_per_user_max",
        "sockets_per_ip_max",
        "accept_rate_per_s",
        "strict",
        "redirect_port",
        "redis_wait_replicas",
        "role_silence_s",
    }
)
LOG_LEVELS = ("debug", "info", "warning", "error")
_SENDER = re.compile(r"[^\r\n<>]*<[^@\s<>]+@[^@\s<>]+>|[^@\s<>]+@[^@\s<>]+")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Values a fresh machine needs none of: `miaosha up` fills in the URLs of what it starts."""

    # where the parts are
    database_url: str = "sqlite:///miaosha.sqlite"  # or mysql://…, mariadb://…, postgresql://…
    database_replica_url: str = ""  # for reads that tolerate lag; empty: none
    redis_url: str = "redis://127.0.0.1:6379/0"  # or rediss://, unix:///…, redis+cluster://a:1,b:2
    broker_url: str = "redis://127.0.0.1:6380/0"  # a Redis of its own, or amqp://, amqps://
    mail_url: str = "console:"  # or file:DIR, smtp://host:port, smtps://host:port
    files_url: str = "file:files"  # pictures; DIR as it is, nothing is decoded
    payments_url: str = "sandbox:"  # no money moves
    secret_keys: str = ""  # kid:base64url,…: the first signs; `up` makes one
    public_url: str = "http://localhost:8000"  # the origin buyers type: no path
    allowed_origins: str = ""  # further origins whose pages may call us, with commas
    trusted_proxies: str = ""  # addresses or networks whose X-Forwarded-For counts
    data_dir: str = "miaosha-data"  # where `up` keeps everything
    user: str = ""  # the account that `up` becomes if root starts it; empty: it stays root
    port: int = 8000  # of the edge
    bind: str = "127.0.0.1"  # address the edge listens on; 0.0.0.0: all
    tls_certificate: str = ""  # file with the edge's certificate and its chain; empty: plain HTTP
    tls_key: str = ""  # file with the certificate's private key
    redirect_port: int = 0  # plain port that sends everybody on to public_url; 0: none
    metrics_port: int = 0  # the first of one loopback port per role for /metrics; 0: none
    log_level: str = "info"  # debug, info, warning or error
    mail_from: str = "Miaosha <shop@localhost>"
    strict: int = 0  # 1: no role starts on a server that `miaosha doctor` says "refused" of

    # how many processes `up` starts
    publishers: int = 1
    consumers: int = 1
    gateways: int = 0  # 0: as many as the cores, sockets_max and the limit of open files call for
    apis: int = 1
    schedulers: int = 1
    mailers: int = 1

    # limits, each named in what it answers
    live_sales_max: int = 1_000  # sales published and not settled; one more is not published
    backlog_max: int = 20_000  # batches a sale's queue may hold before purchases get 503
    log_max_bytes: int = 2_000_000_000  # bytes a sale's log may take before purchases get 503
    batch_users_max: int = 256  # requests in one published batch (at most 512)
    publish_inflight_max: int = 4  # batches a publisher has on the way to the broker
    publish_waiting_max: int = 20_000  # requests that wait in a publisher for a batch
    publish_late_ms: int = 250  # waiting longer in a crowd: further presses get 503 at once
    confirm_timeout_ms: int = 5_000
    request_timeout_ms: int = 10_000  # a client has this long for a whole request
    idle_timeout_ms: int = 75_000  # a kept-alive connection may be silent this long
    header_max_bytes: int = 8_192
    body_max_bytes: int = 8_192
    connections_max: int = 16_000  # per publisher or gateway process
    press_rate_per_s: int = 5
    press_burst: int = 10
    wrong_answers_per_s: int = 5
    repeat_window_ms: int = 1_500  # a repeated press of an accepted buyer gets the same 202
    reading_interval_ms: int = 250
    reading_max_age_ms: int = 1_000
    prefetch: int = 16  # batches a consumer takes at a time
    reclaim_after_ms: int = 5_000  # a dead consumer's batches are taken over after this
    ungranted_after_ms: int = 3_000  # the scheduler grants what lies longer
    payment_max_s: int = 300
    extend_by_s: int = 120  # more time to pay that a buyer may ask for, once per hold
    lease_ms: int = 10_000
    clock_step_max_ms: int = 5_000  # a store's clock that differs by more was set: sales freeze
    clock_believe_s: int = 30  # … until it is right again, or for so long unchanged
    sweep_interval_ms: int = 500
    audit_interval_s: int = 60
    mail_attempts_max: int = 8
    password_queue_max: int = 64  # passwords that wait for a thread: of sign-ups, strangers, known
    sign_ups_per_min: int = 300  # new accounts of one client address, per API process
    sign_ups_per_hour: int = 2_000  # the same on the long run
    sign_ins_per_min: int = 1_200  # wrong passwords of one client address, per API process
    account_tries_per_min: int = 10  # wrong passwords for one account before their answers wait
    edge_rate_per_s: int = 2_000  # requests/s of one client address before the edge says 429
    edge_burst: int = 4_000
    edge_connections_max: int = 8_000  # open connections of one client address at the edge
    sockets_max: int = 16_000  # sockets all gateways together shall hold; see `gateways`
    sockets_per_user_max: int = 10  # per gateway process; 0: any number
    sockets_per_ip_max: int = 4_000  # from one address, per gateway process; 0: any number
    accept_rate_per_s: int = 3_000  # sockets a gateway process opens a second; 0: any number
    socket_message_max_bytes: int = 4_096  # one Socket.IO message from a client
    socket_buffer_max_bytes: int = 65_536  # unsent bytes before a slow reader is dropped
    socket_rate_per_s: int = 5  # messages a socket may send, steadily
    socket_burst: int = 10
    socket_handshake_timeout_ms: int = 10_000  # from the TCP connect to the Socket.IO CONNECT
    drain_ms: int = 2_000  # a stopping gateway spreads its closes over this
    drain_return_ms: int = 10_000  # … and tells its sockets to come back within this, at random
    ping_interval_ms: int = 25_000
    ping_timeout_ms: int = 20_000
    role_silence_s: int = 15  # a process that gives no sign of life is started again; 0: never
    access_token_s: int = 28_800
    sql_connections_api: int = 16  # of one api process to a SQL server: to write, as many to read
    sql_connections_consumer: int = 4
    sql_connections_scheduler: int = 6
    sql_connections_mailer: int = 2
    replica_lag_max_ms: int = 5_000  # a replica further behind is not asked
    redis_wait_replicas: int = 0  # replicas of a Redis master that shall have what buyers are told
    redis_wait_ms: int = 100  # … waited for this long at most (up to 1,000), then told all the same

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            low = 0 if name in ZERO_ALLOWED else 1
            if isinstance(value, int) and value < low:
                raise SettingsError(
                    f"{PREFIX}{name.upper()}={value}: expected a whole number of at least {low}"
                )
        if self.batch_users_max > 512:
            raise SettingsError(
                f"{PREFIX}BATCH_USERS_MAX={self.batch_users_max}: expected at most 512"
            )
        if self.redis_wait_ms > 1_000:  # a command has two seconds in all
            raise _not(self, "redis_wait_ms", "at most 1000")
        if self.log_level not in LOG_LEVELS:
            raise _not(self, "log_level", f"one of {', '.join(LOG_LEVELS)}")
        _normalise(self)
        _check_addresses(self)
        if not _SENDER.fullmatch(self.mail_from):
            raise _not(self, "mail_from", "a sender such as Shop <shop@example.org>")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise _not(self, "tls_key", "a file, together with MIAOSHA_TLS_CERTIFICATE")
        if self.tls_certificate and not self.public_url.startswith("https://"):
            raise _not(self, "public_url", "an https URL, as MIAOSHA_TLS_CERTIFICATE is set")
        if self.redirect_port and not self.tls_certificate:
            raise _not(self, "redirect_port", "0, as MIAOSHA_TLS_CERTIFICATE is not set")


def _normalise(settings: Settings) -> None:
    """The public URL and further origins as browsers send them. Raises SettingsError."""
    listed = [part.strip() for part in settings.allowed_origins.split(",") if part.strip()]
    for name, values in (("public_url", [settings.public_url]), ("allowed_origins", listed)):
        found = []
        for value in values:
            try:
                found.append(origin_of(value))
            except ValueError as error:
                never = "; * is never allowed" if value == "*" else ""
                raise SettingsError(
                    f"{PREFIX}{name.upper()}={_shown(value)}: expected an origin such as "
                    f"https://shop.example, not one {error}{never}"
                ) from None
        msgspec.structs.force_setattr(settings, name, ",".join(found))


def _check_addresses(settings: Settings) -> None:
    """Whether every text can be what it is for, wherever it is pasted. Raises SettingsError."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, str) and (fault := text_fault(value)):
            raise SettingsError(f"{PREFIX}{name.upper()}: expected one line of text; {fault}")
    for name in ("data_dir", "tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if (path or name == "data_dir") and (fault := path_fault(path)):
            raise _not(settings, name, f"a path; {fault}")
    try:
        host_of(settings.bind)
    except ValueError as error:
        expected = f"an address of this machine, such as 127.0.0.1 or 0.0.0.0, not one {error}"
        raise _not(settings, "bind", expected) from None
    proxies(settings)


def _shown(url: str) -> str:
    """Without a password."""
    return repr(re.sub(r"//[^/@]*@", "//***@", url))


def _not(settings: Settings, name: str, expected: str) -> SettingsError:
    value = getattr(settings, name)
    return SettingsError(f"{PREFIX}{name.upper()}={value!r}: expected {expected}")


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from `environ` (default: the process's), `overrides` winning.

    Raises:
        SettingsError: an unknown key with the prefix, or a value of the wrong kind.
    """
    environ = os.environ if environ is None else environ
    known = {f"{PREFIX}{f.upper()}": f for f in Settings.__struct_fields__}
    values: dict[str, Any] = {}
    for key, text in environ.items():
        if not key.startswith(PREFIX):
            continue
        if is_service_link(key, text):
            continue
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingsError(f"{key}: no such setting{hint}")
        values[known[key]] = _convert(key, known[key], text)
    values.update(overrides)
    return Settings(**values)


def _convert(key: str, name: str, text: str) -> Any:
    wanted = type(getattr(_DEFAULTS, name))
    if wanted is str:
        return text
    try:
        return int(text)
    except ValueError:
        shown = "(secret)" if name in SECRET else repr(text)
        raise SettingsError(f"{key}={shown}: expected a whole number") from None


def environ_of(settings: Settings) -> dict[str, str]:
    """The environment that makes a child process load exactly these settings."""
    return {
        f"{PREFIX}{name.upper()}": str(getattr(settings, name))
        for name in settings.__struct_fields__
        if getattr(settings, name) != getattr(_DEFAULTS, name)
    }


def origins(settings: Settings) -> list[str]:
    """Origins whose pages may call the API: those listed, the public URL, localhost on our port."""
    listed = filter(None, settings.allowed_origins.split(","))
    return sorted({*listed, settings.public_url, f"http://localhost:{settings.port}"})


def proxies(settings: Settings) -> list[Network]:
    """MIAOSHA_TRUSTED_PROXIES: whose word about a client's address counts.

    Raises:
        SettingsError: one of those listed is neither an address nor a network.
    """
    found: list[Network] = []
    for part in filter(None, map(str.strip, settings.trusted_proxies.split(","))):
        try:
            found.append(ipaddress.ip_network(part.replace("%", "/"), strict=False))  # no zones
        except ValueError:
            raise SettingsError(
                f"{PREFIX}TRUSTED_PROXIES={part!r}: expected addresses or networks like "
                "10.0.0.0/8, separated by commas"
            ) from None
    return found


_DEFAULTS = Settings()
