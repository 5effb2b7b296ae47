"""Closing: why the server closes a socket, and whether and when the client should come back.

The WebSocket close carries a code and a reason `<word>[; retry=<when>]`. `retry` is `never` (the
client is at fault, and would fail again), `new_token`, or the milliseconds to wait first.

| code | word | come back |
|---|---|---|
| 1000 | bye | as you like: you said goodbye |
| 1002 | protocol_error | never: not a valid WebSocket, Engine.IO or Socket.IO message |
| 1007 | invalid_utf8 | never |
| 1008 | rate_limited | after 10 s: more messages than allowed |
| 1008 | connect_timeout | after 1 s: no Socket.IO CONNECT, or an upgrade left half done |
| 1008 | unknown_session | at once, with a new session: this one cannot be upgraded (any more) |
| 1009 | too_large | never: a message above maxPayload |
| 1011 | internal | after 5 s |
| 1012 | restart | after the given time; the closes themselves are spread, too |
| 4001 | token_expired | at once, with a new access token |
| 4002 | ping_timeout | at once |

A slow reader cannot be told anything: its socket is dropped without a close frame (1006).
A refused CONNECT leaves the socket open and answers CONNECT_ERROR `{message, data: {code}}`, with
`retry_after_s` where waiting helps. Before the upgrade an HTTP status says the same: 403 (Origin),
503 with Retry-After (full or stopping). The stock client reconnects by itself after any close, with
a random back-off, and does not after a CONNECT_ERROR.
Long polling knows no codes: a GET returns the packet `1`, and every later request 400. Only a close
without anybody's fault (`patient`) waits for a GET, which brings the packets that were waiting.
"""

from typing import Final, NamedTuple

from miaosha.sockets.frames import WebSocketError


class Close(NamedTuple):
    code: int
    reason: str

    @property
    def patient(self) -> bool:
        return self.code in (1012, 4001)


BYE: Final = Close(1000, "bye")
PROTOCOL_ERROR: Final = Close(1002, "protocol_error; retry=never")
INVALID_UTF8: Final = Close(1007, "invalid_utf8; retry=never")
RATE_LIMITED: Final = Close(1008, "rate_limited; retry=10000")
CONNECT_TIMEOUT: Final = Close(1008, "connect_timeout; retry=1000")
UNKNOWN_SESSION: Final = Close(1008, "unknown_session; retry=0")
TOO_LARGE: Final = Close(1009, "too_large; retry=never")
INTERNAL: Final = Close(1011, "internal; retry=5000")
TOKEN_EXPIRED: Final = Close(4001, "token_expired; retry=new_token")
PING_TIMEOUT: Final = Close(4002, "ping_timeout; retry=0")


def restart(retry_ms: int) -> Close:
    """This process stops; come back (to another, or to its successor) after `retry_ms`."""
    return Close(1012, f"restart; retry={retry_ms}")


def broken(error: WebSocketError) -> Close:
    """The close that answers a peer which broke RFC 6455."""
    return {1007: INVALID_UTF8, 1009: TOO_LARGE}.get(error.code, PROTOCOL_ERROR)
