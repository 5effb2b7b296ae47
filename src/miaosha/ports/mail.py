"""Port of mail: one message, and what sends it."""

from typing import NamedTuple, Protocol


class Mail(NamedTuple):
    """A mail ready to send. `message_id` is stable per event, so that a resend is recognisable."""

    message_id: str
    to: str
    subject: str
    text: str


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Raises DependencyDown if the mail server is away, Problem("bad_request") if it refuses
        this mail for good."""

    async def close(self) -> None:
        """Close the connections."""
