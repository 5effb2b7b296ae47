"""Mail: the texts, the three ways out, and what a mail server may answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import AuthResult

from miaosha.adapters.mail import open_mailer
from miaosha.adapters.mail.console import masked
from miaosha.adapters.mail.file import file_name
from miaosha.adapters.mail.message import MessageFormat
from miaosha.domain.errors import DependencyDown, Problem, SettingsError
from miaosha.domain.money import Money
from miaosha.ports.mail import Mail
from miaosha.ports.outbox import OutboxItem, Recipient
from miaosha.settings import Settings
from miaosha.usecases.notify import TEXTS, compose
from tests.kit.clocks import HandClock

LETTER = Mail("<won.b.0@shop.example>", "buyer@example.com", "秒殺 · You got one", "Hello\n您好\n")


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def mailer(url: str, sender: str = "Miaosha <shop@example.com>") -> Any:
    return open_mailer(Settings(mail_url=url, mail_from=sender), HandClock(1_800_000_000_000))


def item(event: str) -> OutboxItem:
    rid = "0195a2b0-1111-7222-8333-444455556666.3"
    return OutboxItem(9, f"{event}:{rid}", event, rid, 42, 7, 0, "queued")


RECIPIENT = Recipient(
    "buyer@example.com",
    "小明 Ming",
    "Autumn {sale}",
    "A <b>lamp</b>\r\nBcc: evil@example.com",
    Money(123_400, "TWD"),
    1_800_000_000_000,
    "MS-2026-000001",
)


# texts


@pytest.mark.parametrize("event", TEXTS)
def test_letter_of_every_event(event: str) -> None:
    mail = compose(item(event), RECIPIENT, "https://shop.example/")
    assert mail.to == "buyer@example.com"
    assert mail.message_id == f"<{event}.{item(event).rid}@shop.example>"
    assert "\n" not in mail.subject
    assert "Autumn {sale}" in mail.subject
    assert "小明 Ming" in mail.text
    assert "A <b>lamp</b> Bcc: evil@example.com" in mail.text
    assert "//sales" not in mail.text
    assert "None" not in mail.text
    assert max(map(len, mail.text.splitlines())) < 200


def test_mails_say_what_matters() -> None:
    won = compose(item("won"), RECIPIENT, "https://shop.example").text
    assert "2027-01-15 08:00:00 UTC" in won
    assert "2027-01-15 16:00:00 （台北時間）" in won
    assert "TWD 1,234.00" in won
    assert "https://shop.example/sales/7" in won
    paid = compose(item("paid"), RECIPIENT, "https://shop.example")
    assert "MS-2026-000001" in paid.subject
    assert "MS-2026-000001" in paid.text
    nothing = RECIPIENT._replace(pay_by_ms=None, order_no=None)
    for event in TEXTS:
        assert "None" not in compose(item(event), nothing, "https://shop.example").text


def test_long_titles_are_cut() -> None:
    mail = compose(item("won"), RECIPIENT._replace(title="x" * 500), "http://localhost:8000")
    assert len(mail.subject) == 150
    with pytest.raises(KeyError):
        compose(item("unheard-of"), RECIPIENT, "http://localhost")


# console


async def test_console_masks_the_recipient() -> None:
    with structlog.testing.capture_logs() as lines:
        await mailer("console:").send(LETTER)
    [line] = lines
    assert line["recipient"] == "b***@e***"
    assert line["subject"] == LETTER.subject
    assert "buyer@" not in str(lines)
    assert masked("") == "***@***"


# file


async def test_one_file_per_message_id(tmp_path: Path) -> None:
    directory = tmp_path / "mails"
    out = mailer(f"file:{directory}")
    await out.send(LETTER)
    await asyncio.gather(*(out.send(LETTER) for _ in range(5)))
    await out.send(LETTER._replace(message_id="<won.b.1@shop.example>"))
    assert len(list(directory.iterdir())) == 2
    first = directory / file_name(LETTER.message_id)
    message = message_from_bytes(first.read_bytes(), policy=default)
    assert message["To"] == LETTER.to
    assert message["From"] == "Miaosha <shop@example.com>"
    assert message["Subject"] == LETTER.subject
    assert message["Message-ID"] == LETTER.message_id
    assert message["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == LETTER.text
    assert first.stat().st_mode & 0o077 == 0
    await out.close()


@pytest.mark.parametrize(
    "mail",
    [
        LETTER,
        LETTER._replace(subject="plain", text="one\r\ntwo\rthree"),
        LETTER._replace(subject="", text=" "),
        LETTER._replace(subject="=?utf-8?q?not_encoded?=", to="first.last+tag@mail.example.com"),
        LETTER._replace(subject=" 空 " * 40, text="搶購\n" * 200),
        LETTER._replace(subject="x" * 150, text="no end of line"),
        LETTER._replace(to='"a quoted one"@example.com'),
    ],
)
def test_what_is_written_reads_as_what_the_library_writes(mail: Mail) -> None:
    form = MessageFormat("秒殺 <shop@example.com>", HandClock(1_800_000_000_000))
    wire = form.wire(mail)
    ours, theirs = (
        message_from_bytes(raw, policy=default) for raw in (wire, form.message(mail).as_bytes())
    )
    assert ours["Subject"] == mail.subject  # of which the library loses blanks
    for one in (ours, theirs):
        del one["Subject"]
    assert sorted(ours.items()) == sorted(theirs.items())
    assert ours.get_content() == theirs.get_content()
    assert not ours.defects
    assert max(map(len, wire.split(b"\r\n"))) <= 78
    assert b"\n" not in wire.replace(b"\r\n", b"")


async def test_file_names_stay_inside_and_differ() -> None:
    found = {file_name(n) for n in ("<a/b@x>", "<a_b@x>", "<../../etc/x@x>", "<.@x>", "<" * 300)}
    assert len(found) == 5
    assert not any("/" in n or n.startswith(".") or len(n) > 140 for n in found)


async def test_unwritable_directory_is_down(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(DependencyDown):
        await mailer(f"file:{tmp_path / 'plain'}").send(LETTER)


@pytest.mark.parametrize(
    "mail",
    [
        LETTER._replace(to="a@example.com, b@example.com"),
        LETTER._replace(to="a@example.com\r\nBcc: b@example.com"),
        LETTER._replace(to="Name <a@example.com>"),
        LETTER._replace(to="nobody"),
        LETTER._replace(to=""),
        LETTER._replace(to="a@" + "b" * 300),
        LETTER._replace(subject="x\r\nBcc: b@example.com"),
        LETTER._replace(subject="x\nBcc: b@example.com"),
        LETTER._replace(message_id="<a@b>\r\nBcc: b@example.com"),
        LETTER._replace(message_id="plain"),
        LETTER._replace(text="\ud800"),
    ],
)
async def test_mails_that_cannot_be_written(mail: Mail, tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"mail|recipient") as caught:
        await mailer(f"file:{tmp_path}").send(mail)
    assert "example.com" not in str(caught.value)
    assert names(tmp_path) == []


# smtp


class Inbox:
    """An SMTP server's behaviour: what it answers to a recipient and to a text."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.rcpt = "250 OK"
        self.data = "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.data.startswith("250"):
            self.envelopes.append(envelope)
        return self.data


@asynccontextmanager
async def smtp_server(inbox: Inbox, port: int = 0, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    controller = UnthreadedController(inbox, hostname="127.0.0.1", port=port, loop=loop, **options)
    server: Any = await controller._create_server()
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_smtp_sends_several_over_one_connection() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port:
        out = mailer(f"smtp://127.0.0.1:{port}")
        for n in range(3):
            await out.send(LETTER._replace(message_id=f"<won.{n}@shop.example>"))
        await out.close()
    assert [e.rcpt_tos for e in inbox.envelopes] == [["buyer@example.com"]] * 3
    assert len({e.mail_from for e in inbox.envelopes}) == 1
    message = message_from_bytes(inbox.envelopes[0].content, policy=default)
    assert message["Subject"] == LETTER.subject
    assert message.get_content().replace("\r\n", "\n") == LETTER.text


@pytest.mark.parametrize("step", ["rcpt", "data"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [("550 no such user buyer@example.com", Problem), ("451 try again later", DependencyDown)],
)
async def test_smtp_refusals(step: str, answer: str, kind: type[Exception]) -> None:
    inbox = Inbox()
    setattr(inbox, step, answer)
    async with smtp_server(inbox) as port:
        out = mailer(f"smtp://127.0.0.1:{port}")
        with pytest.raises(kind) as caught:
            await out.send(LETTER)
        assert "buyer" not in str(caught.value)
        setattr(inbox, step, "250 OK")
        await out.send(LETTER)  # the refusal did not spoil the mailer
        await out.close()
    assert len(inbox.envelopes) == 1


async def test_smtp_absent_and_back_again() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port:
        out = mailer(f"smtp://127.0.0.1:{port}?timeout_s=5")
        await out.send(LETTER)
        out._smtp.transport.abort()  # the server hung up while nobody looked
        await out.send(LETTER)
    out._smtp.transport.abort()
    with pytest.raises(DependencyDown):
        await out.send(LETTER)
    async with smtp_server(inbox, port) as _:
        await out.send(LETTER)
        await out.close()
    assert len(inbox.envelopes) == 3


async def test_smtp_that_never_answers_is_down() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    out = mailer(f"smtp://127.0.0.1:{port}?timeout_s=0.2")
    with pytest.raises(DependencyDown):
        await out.send(LETTER)
    await asyncio.wait_for(ended.wait(), 10)  # it was hung up on
    server.close()
    await server.wait_closed()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_smtp_password() -> None:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
        return AuthResult(success=auth.password == b"p@ss", handled=False)

    options: dict[str, Any] = {
        "authenticator": check,
        "auth_require_tls": False,
        "auth_required": True,
    }
    inbox = Inbox()
    async with smtp_server(inbox, **options) as port:
        good = mailer(f"smtp://user:p%40ss@127.0.0.1:{port}?starttls=never")
        await good.send(LETTER)
        await good.close()
        wrong = mailer(f"smtp://user:secret1@127.0.0.1:{port}?starttls=never")
        with pytest.raises(DependencyDown) as caught:  # our fault, not the mail's
            await wrong.send(LETTER)
        assert "secret1" not in str(caught.value)
        careful = mailer(f"smtp://user:p%40ss@127.0.0.1:{port}")
        with pytest.raises((DependencyDown, Problem)):  # never a password without TLS
            await careful.send(LETTER)
        await careful.close()
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("", "sqs://q", "file:", "smtp://", "smtp://h:port", "smtp://h?starttls=x"),
        *("smtp://h?x=1", "smtp://u:geheim@h?timeout_s=0", "http://u:geheim@h"),
    ],
)
def test_bad_mail_urls(url: str) -> None:
    with pytest.raises(SettingsError, match="MIAOSHA_MAIL_URL") as caught:
        mailer(url)
    assert "geheim" not in str(caught.value)


def test_bad_sender() -> None:
    with pytest.raises(SettingsError, match="MIAOSHA_MAIL_FROM"):
        mailer("smtp://localhost", "nobody")
