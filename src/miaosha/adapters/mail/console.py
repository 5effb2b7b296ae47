"""Console mailer: mail into the log, with the recipient masked and without the text."""

import structlog

from miaosha.adapters.mail.message import recipient_of
from miaosha.ports.mail import Mail

log = structlog.get_logger()


class ConsoleMailer:
    async def send(self, mail: Mail) -> None:
        recipient_of(mail)
        log.info(
            "mail",
            recipient=masked(mail.to),
            subject=mail.subject,
            message_id=mail.message_id,
            characters=len(mail.text),
        )

    async def close(self) -> None:
        """Nothing is open."""


def masked(address: str) -> str:
    """`b***@e***`: enough to tell two recipients apart on a screen, not to write to one."""
    local, _, domain = address.partition("@")
    return f"{local[:1]}***@{domain[:1]}***"
