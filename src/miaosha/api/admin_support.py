"""Admin support: parked messages, people, one buyer's story, and the trail."""

from litestar.params import FromPath

from miaosha.api.admin_schemas import (
    ParkedList,
    ParkedMailView,
    ParkedMessageView,
    ParkedView,
    PeopleQuery,
    PersonList,
    Redriven,
    StoryQuery,
    TrailList,
    TrailQuery,
    TrailView,
)
from miaosha.api.auth import actor
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.api.schemas import decode_cursor, encode_cursor
from miaosha.domain.errors import Problem
from miaosha.usecases.parked import Item
from miaosha.usecases.story import Story

TAG = "Admin: support"
PARKED_MAX = 100
PREVIEW_BYTES = 300


@operation(
    "GET",
    "/admin/parked",
    who=Who.ADMIN,
    tag=TAG,
    summary="Messages and mails that were given up on",
    answer=ParkedList,
)
async def list_parked(request: Req) -> ParkedList:
    """The newest 100 of them, and how many there are."""
    parking = context_of(request).parts.parking
    counts = await parking.counts()
    return ParkedList([_parked(item) for item in await parking.list(PARKED_MAX)], *counts)


@operation(
    "POST",
    "/admin/parked/{parked_id:str}/redrive",
    who=Who.ADMIN,
    tag=TAG,
    summary="Send what is parked again",
    status=204,
    codes=("conflict",),
)
async def redrive(request: Req, parked_id: FromPath[str]) -> None:
    """Once: a message goes to the end of its queue, a mail is sent under its old Message-ID. It is
    parked again if that fails."""
    if not await context_of(request).parts.parking.redrive(actor(request), parked_id):
        raise Problem("not_found")


@operation(
    "POST",
    "/admin/parked/redrive-mails",
    who=Who.ADMIN,
    tag=TAG,
    summary="Send all parked mails again",
    status=200,
    answer=Redriven,
)
async def redrive_mails(request: Req) -> Redriven:
    """As after a mail server was away for long. Each once."""
    return Redriven(await context_of(request).parts.parking.redrive_mails(actor(request)))


@operation(
    "GET",
    "/admin/users",
    who=Who.ADMIN,
    tag=TAG,
    summary="Find people",
    answer=PersonList,
    query=PeopleQuery,
)
async def list_people(request: Req) -> PersonList:
    """Newest first: whose id is `q`, or whose e-mail or name contains it."""
    asked = read_query(request, PeopleQuery)
    before = decode_cursor(asked.cursor)
    people = await context_of(request).parts.backoffice.people(asked.q.strip(), before, asked.limit)
    following = encode_cursor(people[-1].id) if len(people) == asked.limit else None
    return PersonList(people, following)


@operation(
    "GET",
    "/admin/users/{user_id:int}/story",
    who=Who.ADMIN,
    tag=TAG,
    summary="One buyer's story",
    answer=Story,
    query=StoryQuery,
)
async def get_story(request: Req, user_id: FromPath[int]) -> Story:
    """Account, place in each recent sale (or in `sale_id`) and why, orders, holds, payments, mails;
    with `sale_id` also the accepted requests. Looking is in the trail."""
    asked = read_query(request, StoryQuery)
    context = context_of(request)
    story = await context.stories.story(user_id, asked.sale_id)
    now = context.parts.clock.now_ms()
    await context.parts.trail.append(now, actor(request), "user.story", f"user:{user_id}", {})
    return story


@operation(
    "GET",
    "/admin/audit-trail",
    who=Who.ADMIN,
    tag=TAG,
    summary="What admins and the system did",
    answer=TrailList,
    query=TrailQuery,
)
async def list_trail(request: Req) -> TrailList:
    """Newest first; with `subject` (such as sale:7) only what concerns it."""
    asked = read_query(request, TrailQuery)
    before = decode_cursor(asked.cursor)
    parts = context_of(request).parts
    entries = await parts.trail.entries(before, asked.limit, subject=asked.subject)
    names = await parts.backoffice.names([id_ for e in entries if (id_ := _user_id(e.actor))])
    following = encode_cursor(entries[-1].id) if len(entries) == asked.limit else None
    return TrailList(
        [TrailView(*e, names.get(_user_id(e.actor), "")) for e in entries],
        following,
    )


def _user_id(actor: str) -> int:
    """The account an actor of the trail is, 0 for cli and system."""
    kind, _, number = actor.partition(":")
    return int(number) if kind == "user" and number.isdigit() else 0


def _parked(item: Item) -> ParkedView:
    mail = message = None
    if item.mail is not None:
        of = item.mail
        mail = ParkedMailView(of.sale_id, of.user_id, of.email, of.rid, of.attempts)
    if item.message is not None:
        message = ParkedMessageView(len(item.message.raw), _preview(item.message.raw))
    return ParkedView(
        item.id, item.kind, item.source, item.reason, item.parked_at_ms, mail, message
    )


def _preview(raw: bytes) -> str:
    preview = raw[:PREVIEW_BYTES].decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in preview)


ROUTES = [list_parked, redrive, redrive_mails, list_people, get_story, list_trail]
