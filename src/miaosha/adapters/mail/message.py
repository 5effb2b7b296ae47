"""Message format: a letter as an RFC 5322 message. No name or title can add a header.

A mail to a plain address is written by the library's older classes, in a fifth of the time. Any
other goes through its newer ones, which know all forms of an address.
"""

import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.mime.text import MIMEText
from email.policy import SMTP, compat32
from email.utils import format_datetime, formataddr, parseaddr
from typing import Final

from miaosha.domain.errors import Problem, SettingsError
from miaosha.ports.clock import Clock
from miaosha.ports.mail import Mail

_MESSAGE_ID: Final = re.compile(
    r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~:-]{1,200}@[A-Za-z0-9.:\[\]-]{1,200}>"
)
ADDRESS_MAX: Final = 254
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_UNENCODED: Final = re.compile(r"(?!.*=\?)([!-~]([ -~]{0,58}[!-~])?)?")  # one line as it is
_QUICK: Final = compat32.clone(linesep="\r\n", max_line_length=76)


class MessageFormat:
    """Args: sender: `Name <address>` or an address. Raises SettingsError if it is neither."""

    def __init__(self, sender: str, clock: Clock) -> None:
        name, address = parseaddr(sender)
        try:
            self._sender = Address(display_name=name, addr_spec=address)
        except (ValueError, IndexError, HeaderParseError):
            raise SettingsError(
                f"MIAOSHA_MAIL_FROM={sender!r}: expected an address such as Shop <shop@example.com>"
            ) from None
        self._clock = clock
        self._from = formataddr((name, address))

    @property
    def sender(self) -> str:
        return self._sender.addr_spec

    def wire(self, mail: Mail) -> bytes:
        """The message as it is sent or kept. Raises as `message`."""
        if not is_plain(mail.to):
            return self.message(mail).as_bytes()
        try:
            lines = [*mail.text.splitlines(), ""]
            message = MIMEText("\r\n".join(lines), "plain", "utf-8")
            message["From"] = self._from
            message["To"] = mail.to
            message["Subject"] = _subject(mail.subject)
            message["Date"] = self._date()
            message["Message-ID"] = checked_id(mail.message_id)
            message["Auto-Submitted"] = "auto-generated"
            return message.as_bytes(policy=_QUICK)
        except ValueError as error:  # UnicodeError too
            raise Problem("bad_request", "The mail cannot be written.") from error

    def message(self, mail: Mail) -> EmailMessage:
        """Raises Problem("bad_request"): the mail can never be sent as it is."""
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = self._sender
            message["To"] = recipient_of(mail)
            message["Subject"] = mail.subject
            message["Date"] = self._date()
            message["Message-ID"] = checked_id(mail.message_id)
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(mail.text, cte="base64")
        except (ValueError, UnicodeError) as error:
            raise Problem("bad_request", "The mail cannot be written.") from error
        return message

    def _date(self) -> str:
        return format_datetime(datetime.fromtimestamp(self._clock.now_ms() // 1000, tz=UTC))


def is_plain(address: str) -> bool:
    """An ASCII address without quotes or comments, as nearly all are."""
    return len(address) <= ADDRESS_MAX and _PLAIN.fullmatch(address) is not None


def _subject(text: str) -> str:
    """As it is, or in encoded words (RFC 2047). Raises ValueError if no header can hold it."""
    if "\r" in text or "\n" in text:
        raise ValueError("a line break")
    return text if _UNENCODED.fullmatch(text) else Header(text, "utf-8", 76, "Subject").encode()


def recipient_of(mail: Mail) -> Address:
    """Exactly one address. Raises Problem("bad_request")."""
    try:
        if len(mail.to) > ADDRESS_MAX or not mail.to.isprintable():
            raise ValueError("too long or unprintable")
        address = Address(addr_spec=mail.to)
        if not address.username or not address.domain:
            raise ValueError("incomplete")
    except (ValueError, IndexError, HeaderParseError):
        raise Problem("bad_request", "The recipient is not an address.", field="to") from None
    return address


def checked_id(message_id: str) -> str:
    """Raises ValueError."""
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("not a message id")
    return message_id
