"""A Letter as an RFC 5322 message. Headers are set through the library's types, which refuse line
breaks, so that nothing in a name or a title can add a header or a recipient.
"""

import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

from miaosha.domain.errors import Problem, SettingsError
from miaosha.ports.outside import Clock, Letter

_MESSAGE_ID: Final = re.compile(
    r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~:-]{1,200}@[A-Za-z0-9.:\[\]-]{1,200}>"
)
ADDRESS_MAX: Final = 254


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

    @property
    def sender(self) -> str:
        return self._sender.addr_spec

    def message(self, letter: Letter) -> EmailMessage:
        """Raises Problem("bad_request"): the letter can never be sent as it is."""
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = self._sender
            message["To"] = recipient_of(letter)
            message["Subject"] = letter.subject
            message["Date"] = format_datetime(
                datetime.fromtimestamp(self._clock.now_ms() // 1000, tz=UTC)
            )
            message["Message-ID"] = checked_id(letter.message_id)
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(letter.text, cte="base64")
        except (ValueError, UnicodeError) as error:
            raise Problem("bad_request", "The letter cannot be written.") from error
        return message


def recipient_of(letter: Letter) -> Address:
    """Exactly one address. Raises Problem("bad_request")."""
    try:
        if len(letter.to) > ADDRESS_MAX or not letter.to.isprintable():
            raise ValueError("too long or unprintable")
        address = Address(addr_spec=letter.to)
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
