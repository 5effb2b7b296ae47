"""Start checks: refuse bad addresses, keys and ports before anything starts.

The adapters say what they accept. Here they are asked early, so that a typing error is one line
after a second instead of a crash in some process.
"""

import asyncio
import os
import socket
import tempfile
from pathlib import Path

from miaosha.domain.errors import SettingsError
from miaosha.domain.urls import path_fault
from miaosha.settings import Settings
from miaosha.supervisor import data_directory, process_counts
from miaosha.supervisor.edge import nginx_config

DATA_DIR_BYTES_MAX = 450  # what SQLite takes, less the name of the database


async def check_settings(settings: Settings) -> None:
    """Raises SettingsError naming the setting, its value and what was expected."""
    check_paths(settings)
    check_certificate(settings)
    check_counts(settings)
    check_ports(settings)
    if settings.secret_keys:
        from miaosha.adapters.keyring import Keyring

        Keyring.parse(settings.secret_keys)
    await _redis("MIAOSHA_REDIS_URL", settings.redis_url)
    await _broker("MIAOSHA_BROKER_URL", settings.broker_url)
    await asyncio.to_thread(_adapters, settings)


async def _redis(key: str, url: str) -> None:
    from miaosha.adapters.redis.connect import connect

    try:
        await connect(url).aclose()
    except SettingsError as error:
        raise SettingsError(f"{key}: {error}") from None


async def _broker(key: str, url: str) -> None:
    if not url.startswith("amqp"):
        await _redis(key, url)
        return
    from miaosha.adapters.rabbitmq.link import Link

    try:
        Link(url)
    except SettingsError as error:
        raise SettingsError(f"{key}: {error}") from None


def _adapters(settings: Settings) -> None:
    from miaosha.adapters.files import open_files
    from miaosha.adapters.mail import open_mailer
    from miaosha.adapters.payments import check_url
    from miaosha.adapters.sql.engine import driver_url

    open_mailer(settings)
    open_files(settings)
    check_url(settings.payments_url)
    driver_url(settings.database_url)
    if settings.database_replica_url:
        driver_url(settings.database_replica_url)


def check_paths(settings: Settings) -> None:
    """Raises SettingsError if a path, made whole, cannot be pasted where it is needed: where the
    command is started, and where it is installed, count too."""
    data = Path(settings.data_dir).absolute()
    for name, path in (
        ("MIAOSHA_DATA_DIR", data),
        ("TMPDIR", Path(tempfile.gettempdir()).absolute()),
        ("the directory of the pages", nginx_config.static_dir()),
    ):
        if fault := path_fault(str(path)):
            raise SettingsError(f"{name}={str(path)!r}: expected a path; {fault}")
    length = len(os.fsencode(data.resolve()))
    if (
        settings.database_url == data_directory.DEFAULTS.database_url
        and length > DATA_DIR_BYTES_MAX
    ):
        raise SettingsError(
            f"MIAOSHA_DATA_DIR={str(data)[:60]}…: expected at most {DATA_DIR_BYTES_MAX} bytes, "
            f"not {length}: SQLite opens no file further down"
        )


def check_counts(settings: Settings) -> None:
    """Raises SettingsError if machine or settings call for more processes than make sense."""
    files = min(process_counts.descriptors(), nginx_config.CONNECTIONS_MAX)
    cores = os.cpu_count() or 1
    nginx_config.workers(settings.sockets_max, cores, files)  # the greater need, so first
    process_counts.counts(settings)


def check_certificate(settings: Settings) -> None:
    """Raises SettingsError if the edge could not speak TLS with what is set."""
    if not settings.tls_certificate:
        return
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (OSError, ValueError) as error:  # ssl's own errors are OSErrors
        raise SettingsError(
            f"MIAOSHA_TLS_CERTIFICATE={settings.tls_certificate!r}, "
            f"MIAOSHA_TLS_KEY={settings.tls_key!r}: expected a certificate (PEM, with its chain) "
            f"and its key, without a password ({error})"
        ) from None


def check_ports(settings: Settings) -> None:
    """Raises SettingsError naming the setting to change when an address is none of this machine's,
    or a port is taken or not allowed."""
    _check_bind(settings.bind)
    _check_port("MIAOSHA_PORT", settings.bind, settings.port, "--port")
    if settings.redirect_port:
        _check_port("MIAOSHA_REDIRECT_PORT", settings.bind, settings.redirect_port, "")
    for port in process_counts.metrics_ports(settings).values():
        _check_port("MIAOSHA_METRICS_PORT", "127.0.0.1", port, "")


def _check_bind(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise SettingsError(
                f"MIAOSHA_BIND={host!r}: expected an address of this machine, such as 127.0.0.1 "
                f"or 0.0.0.0 ({error.strerror})"
            ) from None


def _check_port(key: str, host: str, port: int, option: str) -> None:
    if not 1 <= port <= 65535:
        raise SettingsError(f"{key}={port}: expected a port between 1 and 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            other = f" or {option}" if option else ""
            raise SettingsError(
                f"{key}={port}: cannot listen on {host}:{port} ({error.strerror}); "
                f"set {key}{other} to a free port"
            ) from None
