"""Notification: the mails a buyer gets, plain text, English first, then 繁體中文.

A mail says only what the row in SQL says: amounts, times and numbers come from there. A link
carries no token: it leads to the page where the buyer signs in.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from miaosha.ports.mail import Mail
from miaosha.ports.outbox import OutboxItem, Recipient

TAIPEI: Final = timezone(timedelta(hours=8))
SUBJECT_MAX: Final = 150


class Text(NamedTuple):
    subject: str
    english: str
    chinese: str


TEXTS: Final[dict[str, Text]] = {
    "won": Text(
        "You got one: please pay in time · 搶購成功，請盡快付款 – {title}",
        """\
you got one: "{product}" in the sale "{title}" is reserved for you.

Please pay {price} by {pay_by}. After that the unit goes to the next
person on standby.

    {link}
""",
        """\
恭喜您！「{title}」中的「{product}」已為您保留。

請於 {pay_by_zh} 前完成付款（{price}）。逾時名額將讓給下一位候補的買家。

    {link}
""",
    ),
    "your_turn": Text(
        "It is your turn: please pay in time · 輪到您了，請盡快付款 – {title}",
        """\
a unit has come free and you are next: "{product}" in the sale "{title}" is now
reserved for you.

Please pay {price} by {pay_by}. After that the unit goes to the next
person on standby.

    {link}
""",
        """\
有名額釋出，輪到您了！「{title}」中的「{product}」已為您保留。

請於 {pay_by_zh} 前完成付款（{price}）。逾時名額將讓給下一位候補的買家。

    {link}
""",
    ),
    "paid": Text(
        "Thank you for your order {order_no} · 感謝您的訂購 – {title}",
        """\
thank you! We have received your payment of {price} for "{product}".
Your order number is {order_no}.

    {orders}
""",
        """\
感謝您！我們已收到您購買「{product}」的款項（{price}）。
您的訂單編號是 {order_no}。

    {orders}
""",
    ),
    "expired": Text(
        "Your reservation has expired · 您的保留已逾時 – {title}",
        """\
the time to pay for "{product}" in the sale "{title}" is over, and the unit has
gone to the next person. You are not charged for it.

While the sale is on you are welcome to try again:

    {link}
""",
        """\
「{title}」中「{product}」的付款期限已過，名額已讓給下一位買家。我們不會向您收取這筆款項。

活動仍在進行時，歡迎再試一次：

    {link}
""",
    ),
    "refunded": Text(
        "Your payment is being returned · 您的款項將會退還 – {title}",
        """\
your payment of {price} for "{product}" in the sale "{title}" reached us when the
unit was no longer reserved for you. We have given the money back in full; it can take a
few days until your bank shows it. There is nothing you need to do.
""",
        """\
您為「{title}」中的「{product}」支付的款項（{price}）送達時，名額已不再為您保留。
款項已全數退還，銀行可能需要幾天才會顯示。您不需要再做任何事。
""",
    ),
}

FRAME: Final = """\
Hello {name},

{english}
Miaosha

────────────────────────────────

{name} 您好：

{chinese}
秒殺商城
"""


def compose(item: OutboxItem, recipient: Recipient, public_url: str) -> Mail:
    """The mail for one outbox row. The same row always gives the same Message-ID.

    Args:
        public_url: where buyers reach the shop; its host is the right side of the Message-ID.

    Raises:
        KeyError: an event without a text.
    """
    text = TEXTS[item.event]
    base = public_url.rstrip("/")
    values = {
        "name": one_line(recipient.name),
        "title": one_line(recipient.title),
        "product": one_line(recipient.product),
        "price": str(recipient.price),
        "pay_by": _time(recipient.pay_by_ms, UTC, "UTC"),
        "pay_by_zh": _time(recipient.pay_by_ms, TAIPEI, "（台北時間）"),
        "order_no": recipient.order_no or "–",
        "link": f"{base}/sales/{item.sale_id}",
        "orders": f"{base}/orders",
    }
    # Values are filled in once: a brace in a product's name is just a brace.
    english, chinese = text.english.format(**values), text.chinese.format(**values)
    body = FRAME.format(name=values["name"], english=english, chinese=chinese)
    subject = text.subject.format(**values)
    if len(subject) > SUBJECT_MAX:
        subject = subject[: SUBJECT_MAX - 1] + "…"
    return Mail(message_id(item, base), recipient.email, subject, body)


def message_id(item: OutboxItem, public_url: str) -> str:
    """Stable per event and place, so that a resend is recognised as the same mail."""
    host = urlsplit(public_url).hostname or "localhost"
    return f"<{item.event}.{item.rid}@{host}>"


def one_line(text: str) -> str:
    """Without line breaks and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _time(at_ms: int | None, zone: timezone, name: str) -> str:
    if at_ms is None:
        return "–"
    return f"{datetime.fromtimestamp(at_ms // 1000, tz=zone):%Y-%m-%d %H:%M:%S} {name}"
