"""Mail adapters: chosen by URL, `console:`, `file:DIR`, `smtp://` and `smtps://`.

Reading order: `message`, `console`, `file`, `smtp`.
"""

from miaosha.domain.errors import SettingsError
from miaosha.domain.urls import directory_of
from miaosha.ports.clock import Clock
from miaosha.ports.mail import Mailer
from miaosha.settings import Settings

SETTING = "MIAOSHA_MAIL_URL"


def open_mailer(settings: Settings, clock: Clock | None = None) -> Mailer:
    """The mailer for `settings.mail_url`; nothing is connected before the first mail.

    Args:
        clock: for the Date header; default: this machine's.

    Raises:
        SettingsError: the URL or `settings.mail_from` is not valid; never shows a password.
    """
    from miaosha.adapters.mail.message import MessageFormat

    scheme = settings.mail_url.partition(":")[0].lower()
    if settings.mail_url == "console:":
        from miaosha.adapters.mail.console import ConsoleMailer

        return ConsoleMailer()
    if clock is None:
        from miaosha.adapters.clock import StoreClock

        clock = StoreClock()
    form = MessageFormat(settings.mail_from, clock)
    if scheme == "file":
        from miaosha.adapters.mail.file import FileMailer

        try:
            return FileMailer(directory_of(settings.mail_url), form)
        except ValueError as error:
            raise SettingsError(
                f"{SETTING}={settings.mail_url!r}: expected file:DIR, {error}"
            ) from None
    if scheme in ("smtp", "smtps"):
        from miaosha.adapters.mail.smtp import SmtpMailer

        return SmtpMailer(settings.mail_url, form)
    raise SettingsError(
        f"{SETTING}={scheme}:…: expected console:, file:DIR, smtp://host:port or smtps://host:port"
    )
