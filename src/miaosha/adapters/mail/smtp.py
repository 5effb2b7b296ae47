"""SMTP mailer: one connection, one mail at a time, opened again when the server hung up.

URL: `smtp://user:password@host:port?starttls=auto|required|never&timeout_s=20`, or `smtps://` (TLS
from the first byte). Without `starttls`: required when there is a password, else auto.
"""

import asyncio
import contextlib
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import unquote

import aiosmtplib

from miaosha.adapters.mail.message import MessageFormat, is_plain
from miaosha.domain.errors import DependencyDown, Problem, SettingsError
from miaosha.domain.urls import options_of, server_of
from miaosha.ports.mail import Mail

TIMEOUT_S: Final = 20.0  # seconds for each answer of the server
MAIL_TIMEOUT_S: Final = 90.0  # seconds for one mail, connecting included
STARTTLS: Final = {"auto": None, "required": True, "never": False}
_EXPECTED = "expected smtp://user:password@host:port?starttls=auto|required|never&timeout_s=20"


class SmtpMailer:
    """See the module. Raises SettingsError for a bad URL."""

    def __init__(self, url: str, form: MessageFormat) -> None:
        self._form = form
        self._parameters = _parameters(url)
        self._lock = asyncio.Lock()
        self._smtp: aiosmtplib.SMTP | None = None

    async def send(self, mail: Mail) -> None:
        """A mail whose answer was lost on the way counts as not sent: it may come twice, under
        the same Message-ID."""
        plain = is_plain(mail.to)
        message = self._form.wire(mail) if plain else self._form.message(mail)
        async with self._lock:
            try:
                async with asyncio.timeout(MAIL_TIMEOUT_S):
                    await self._send(message, mail.to)
            except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                await self._hang_up()
                raise verdict(error) from error
            except asyncio.CancelledError:
                await self._hang_up()
                raise

    async def close(self) -> None:
        async with self._lock:
            if self._smtp is not None:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    async with asyncio.timeout(1):
                        await self._smtp.quit()
            await self._hang_up()

    async def _send(self, message: bytes | EmailMessage, to: str) -> None:
        reused = self._smtp is not None
        smtp = await self._connected()
        try:
            if reused:
                await smtp.noop()  # servers hang up on an idle connection
        except (aiosmtplib.SMTPException, OSError):
            await self._hang_up()
            smtp = await self._connected()
        if isinstance(message, bytes):
            await smtp.sendmail(self._form.sender, [to], message)
        else:
            await smtp.send_message(message, sender=self._form.sender, recipients=[to])

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._smtp is None:
            smtp = aiosmtplib.SMTP(**self._parameters)
            try:
                await smtp.connect()
            except BaseException:
                smtp.close()
                raise
            self._smtp = smtp
        return self._smtp

    async def _hang_up(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()


def verdict(error: Exception) -> Problem | DependencyDown:
    """Permanent only if the server refused this recipient or this text. What is wrong with us
    (login, sender, connection) may be put right while the mail waits. Holds no address."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [refused.code for refused in error.recipients]
    elif isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        codes = [error.code]
    elif isinstance(error, aiosmtplib.SMTPNotSupported | ValueError) and not isinstance(
        error,
        OSError,  # a certificate that does not fit is both
    ):
        # an address this server cannot take (SMTPUTF8), or one that cannot be written at all
        return Problem("bad_request", "The mail server cannot take this mail.")
    else:
        code = getattr(error, "code", "")
        return DependencyDown(f"mail server: {type(error).__name__} {code}".rstrip())
    if codes and all(500 <= code < 600 for code in codes):
        return Problem("bad_request", f"The mail server refused this mail ({codes[0]}).")
    return DependencyDown(f"mail server: not now ({codes[0] if codes else '?'})")


def _parameters(url: str) -> dict[str, Any]:
    try:
        parts = server_of(url)
        options = options_of(parts, ("starttls", "timeout_s"))
        if parts.path.strip("/"):
            raise ValueError("with a path")
        if bool(parts.username) != bool(parts.password):
            raise ValueError("with a user and no password, or a password and no user")
    except ValueError as error:
        raise SettingsError(f"MIAOSHA_MAIL_URL=(hidden): {_EXPECTED}, not one {error}") from None
    password = unquote(parts.password or "") or None
    starttls = options.pop("starttls", "required" if password else "auto")
    timeout = options.pop("timeout_s", str(TIMEOUT_S))
    if starttls not in STARTTLS or not _positive(timeout):
        raise SettingsError(f"MIAOSHA_MAIL_URL=(hidden): {_EXPECTED}")
    implicit = parts.scheme == "smtps"
    return {
        "hostname": parts.hostname,
        "port": parts.port or (465 if implicit else 587 if password else 25),
        "username": unquote(parts.username or "") or None,
        "password": password,
        "use_tls": implicit,
        "start_tls": False if implicit else STARTTLS[starttls],
        "timeout": float(timeout),
    }


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) <= 300
    except ValueError:
        return False
