"""Payments: the providers, chosen by `MIAOSHA_PAYMENTS_URL`."""

import hashlib
import hmac
from typing import TYPE_CHECKING

from miaosha.domain.errors import SettingsError
from miaosha.ports.clock import Clock
from miaosha.ports.payments import Payments

if TYPE_CHECKING:
    from miaosha.adapters.sql.database import Database

SANDBOX_PAGE = "/sandbox"  # the redirect page: this, a slash, a charge's secret


def open_payments(
    url: str, database: "Database", clock: Clock, secret_keys: str, public_url: str = ""
) -> Payments:
    """The provider of `url`. The sandbox signs its webhooks with a key derived from `secret_keys`.

    Raises:
        SettingsError: no such provider.
    """
    check_url(url)
    from miaosha.adapters.payments.sandbox import SandboxPayments

    secret = hmac.digest(secret_keys.encode(), b"miaosha:sandbox webhook", hashlib.sha256)
    return SandboxPayments(database, clock, secret, public_url.rstrip("/") + SANDBOX_PAGE)


def check_url(url: str) -> None:
    """Raises SettingsError: no such provider."""
    if url != "sandbox:":
        raise SettingsError(f"MIAOSHA_PAYMENTS_URL={url.partition(':')[0]}:…: expected sandbox:")
