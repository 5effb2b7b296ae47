"""Console mailer: mail into the log, with the recipient masked and without the text."""

import structlog

from miaosha.adapters.mail.message import recipient_of
from miaosha.ports.mail import Letter

log = structlog.get_logger()


class ConsoleMailer:
    async def send(self, letter: Letter) -> None:
        recipient_of(letter)
        log.info(
            "mail",
            recipient=masked(letter.to),
            subject=letter.subject,
            message_id=letter.message_id,
            characters=len(letter.text),
        )

    async def close(self) -> None:
        """Nothing is open."""


def masked(address: str) -> str:
    """`b***@e***`: enough to tell two recipients apart on a screen, not to write to one."""
    local, _, domain = address.partition("@")
    return f"{local[:1]}***@{domain[:1]}***"
