"""A request hidden behind another one is never answered, however it is framed."""

import asyncio
import contextlib

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.sockets import listening
from tests.kit.hidden import LAST, WAYS, Dialogue, Way, every, hiding
from tests.sockets.conftest import World
from tests.sockets.polls import Http, get, opened, post
from tests.sockets.test_polling_fuzz import feed, make_server

HIDDEN = get("")  # a session more, if it were read
PREFLIGHT = b"OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
LIVE = b"<live>"
TARGETS = {
    "open": b"/socket.io/?EIO=4&transport=polling",
    "open without a slash": b"/socket.io?EIO=4&transport=polling",
    "a session": b"/socket.io/?EIO=4&transport=polling&sid=" + LIVE,
    "an unknown session": b"/socket.io/?EIO=4&transport=polling&sid=0-x",
    "websocket": b"/socket.io/?EIO=4&transport=websocket",
    "upgrade of a session": b"/socket.io/?EIO=4&transport=websocket&sid=" + LIVE,
    "another version": b"/socket.io/?EIO=3&transport=polling",
    "health": b"/healthz",
    "readiness": b"/readyz",
    "nothing": b"/nothing",
}


@pytest.fixture(autouse=True)
def short_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions without a GET cannot hear the last words."""
    monkeypatch.setattr(listening, "LAST_WORDS_S", 0.0)


@pytest.mark.parametrize("kept", [False, True], ids=["at once", "on a kept connection"])
@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_hidden_is_answered(world: World, target: str, kept: bool) -> None:
    server = world.server
    async with contextlib.AsyncExitStack() as stack:
        friend = await Http.dial(world)
        stack.push_async_callback(friend.close)
        for method, name, way in every(WAYS):
            path = TARGETS[target]
            if LIVE in path:
                sid = await opened(friend)
                await friend.ask(post(sid, b"40"))  # its answer waits for a GET
                path = path.replace(LIVE, sid.encode())
            before = set(server.polling)
            async with Dialogue.on(asyncio.open_connection(*world.address)) as dialogue:
                if kept:
                    first = await dialogue.ask(PREFLIGHT)
                    assert first.status == 204 and not first.closes
                answer = await dialogue.ask(hiding(way, method, path, HIDDEN))
            assert answer.closes, (method, name)
            if name not in LAST:
                assert answer.status >= 400, (method, name)
                assert set(server.polling) <= before, (method, name)
            for session in list(server.polling.values()):
                session.drop()


# what a head is made of in the fuzz: each piece is harmless or not, depending on its neighbours
NAMES = (b"Content-Length", b"content-length", b"Transfer-Encoding", b"Content-Length ", b"X-A")
VALUES = (b"<n>", b"0", b"00", b"+<n>", b"0, <n>", b"chunked", b"gzip", b"\x0bchunked", b"x", b"")
SEPARATORS = (b": ", b": ", b": ", b":", b" : ", b":\t", b":\r\n ")
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")
LINES = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from(NAMES),
    st.sampled_from(SEPARATORS),
    st.sampled_from(VALUES),
    st.sampled_from(ENDS),
)
BEHIND = (b"<m>", b"<x>\r\n<m>\r\n0\r\n\r\n", b"0\r\n\r\n<m>", b"\r\n<m>")


def ends_before(said: bytes, hidden: bytes) -> bool:
    """Does the first request end right before `hidden`, as h11 reads it?"""
    other = h11.Connection(h11.SERVER)
    other.receive_data(said)
    with contextlib.suppress(h11.RemoteProtocolError):
        while not isinstance(event := other.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return False
        return other.trailing_data[0].lstrip(b"\r\n") == hidden
    return False


@given(
    st.sampled_from((b"GET", b"OPTIONS", b"POST", b"HEAD")),
    st.sampled_from((TARGETS["open"], TARGETS["open"], TARGETS["an unknown session"])),
    st.sampled_from((b"1.1", b"1.1", b"1.0")),
    st.lists(LINES, max_size=4),
    st.sampled_from(BEHIND),
)
@settings(max_examples=500, deadline=None)
def test_a_second_answer_comes_only_where_another_reader_sees_a_second_request(
    method: bytes, target: bytes, version: bytes, lines: list[bytes], behind: bytes
) -> None:
    way = Way(b"".join(lines)[:-2] if lines else b"X-A: b", behind, version)
    said = hiding(way, method, target, HIDDEN)

    async def run() -> bytes:
        return feed(make_server(), [said])

    answers = asyncio.run(run()).split(b"HTTP/1.1 ")[1:]
    if any(answer.startswith(b"200 ") for answer in answers[1:]):
        assert ends_before(said, HIDDEN), said
