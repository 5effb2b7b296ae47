"""Refusing: a mail server that refuses a mail for good, when it is told to."""

from miaosha.domain.errors import Problem
from miaosha.ports.mail import Mail
from tests.lab.provider import MailServer


class RefusingServer(MailServer):
    """Attributes:
    refuses: whether the next mail is refused. refused: how many were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refuses = False
        self.refused = 0

    def send(self, mail: Mail) -> None:
        if self.refuses:
            self.refuses = False
            self.refused += 1
            raise Problem("bad_request", "The mail server refused this mail (550).")
        super().send(mail)
