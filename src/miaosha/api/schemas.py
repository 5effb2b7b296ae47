"""Schemas: bodies and queries of the HTTP API. An unknown field is an error naming it.

Lengths here are caps on what is read at all; the use cases say what a value may be.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from miaosha.domain.credentials import PASSWORD_MAX, PASSWORD_MIN
from miaosha.domain.errors import Problem
from miaosha.domain.sale import SaleView
from miaosha.ports.orders import Order

PAGE_MAX = 50
LIST_MAX = 500

Short = Annotated[str, Meta(min_length=1, max_length=200)]
Password = Annotated[str, Meta(min_length=1, max_length=128)]
NewPassword = Annotated[  # told here, checked by the use case: its sentence is the command line's
    str, Meta(extra_json_schema={"minLength": PASSWORD_MIN, "maxLength": PASSWORD_MAX})
]
Email = Annotated[str, Meta(min_length=3, max_length=254, examples=["ada@example.com"])]
Id = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Millis = Annotated[int, Meta(ge=0, le=253_402_300_799_000, description="Unix milliseconds")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
Cursor = Annotated[str, Meta(min_length=1, max_length=200, description="From `next_cursor`")]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


# accounts


class SignUp(Body, frozen=True, kw_only=True):
    email: Email
    password: NewPassword
    name: Annotated[str, Meta(min_length=1, max_length=80)]


class SignIn(Body, frozen=True, kw_only=True):
    email: Email
    password: Password
    device_token: Annotated[
        str, Meta(max_length=1_000, description="From an earlier sign-in on this device")
    ] = ""


class UserView(msgspec.Struct, frozen=True):
    id: int
    name: str
    email: str
    role: str


class SessionView(msgspec.Struct, frozen=True):
    access_token: str
    user: UserView


class SignedIn(SessionView, frozen=True):
    """`device_token` may be kept by the device for long, and sent with its next sign-in: whoever
    has it gets past those who guess at the account. It opens nothing by itself."""

    device_token: str


# sales and purchases


class Time(msgspec.Struct, frozen=True):
    server_time_ms: int


class SaleList(msgspec.Struct, frozen=True):
    items: list[SaleView]


class Press(Body, frozen=True, kw_only=True):
    answer: Annotated[str, Meta(min_length=1, max_length=40)]


class Queued(msgspec.Struct, frozen=True):
    request_id: str
    state: str


class MineQuery(msgspec.Struct, frozen=True):
    request_id: Annotated[str, Meta(max_length=80)] | None = None


class ExtendQuery(msgspec.Struct, frozen=True):
    pay_by_ms: Millis | None = None


# checkout and orders


class PaymentCard(Body, frozen=True, kw_only=True):
    """As it was typed: digits of any script, with blanks and dashes where people put them."""

    card: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=60,
            description="12 to 19 digits",
            examples=["4242 4242 4242 4242"],
        ),
    ]
    expiry: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=20,
            description="Month and year: 12/30, 1/30, 0130, 12/2030",
            examples=["12/30"],
        ),
    ]
    cvc: Annotated[
        str, Meta(min_length=1, max_length=20, description="3 or 4 digits", examples=["123"])
    ]


class CheckoutBody(Body, frozen=True, kw_only=True):
    checkout_token: Annotated[str, Meta(max_length=2_000, pattern=r"^[A-Za-z0-9._-]+$")]
    payment: PaymentCard
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    phone: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=80,
            description="At least 4 digits and + ( ) . / - between them; an extension after #",
            examples=["+49 30 123456 #12"],
        ),
    ]
    address: Annotated[str, Meta(min_length=1, max_length=500)]


class RedirectTo(msgspec.Struct, frozen=True):
    redirect_url: str


class ActionNeeded(msgspec.Struct, frozen=True):
    requires_action: RedirectTo


class OrderView(msgspec.Struct, frozen=True):
    id: str
    order_no: str
    rid: str
    sale_id: int
    state: str
    amount: int
    currency: str
    created_at_ms: int


class OrderList(msgspec.Struct, frozen=True):
    items: list[OrderView]
    next_cursor: str | None


class ListQuery(msgspec.Struct, frozen=True):
    """Of a list that is short in most shops: as many as one answer takes, if not told otherwise."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=LIST_MAX)] = LIST_MAX


class PageQuery(msgspec.Struct, frozen=True):
    cursor: Cursor | None = None
    limit: Limit = 20


def order_view(order: Order) -> OrderView:
    return OrderView(
        order.id,
        order.order_no,
        order.rid,
        order.sale_id,
        order.state,
        order.amount,
        order.currency,
        order.created_at_ms,
    )


def encode_cursor(value: int) -> str:
    return base64.urlsafe_b64encode(b"i%d" % value).decode().rstrip("=")


def decode_cursor(text: str | None) -> int | None:
    """Raises Problem("bad_request") for anything `encode_cursor` did not make."""
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        if not raw.startswith(b"i") or len(raw) > 18:
            raise ValueError(text)
        return int(raw[1:])
    except (ValueError, binascii.Error):
        raise Problem("bad_request", "This is not a cursor.", field="cursor") from None
