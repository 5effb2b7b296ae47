"""An HTTP/2 client that says what it is told, right or wrong, one request at a time."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events

DEADLINE_S = 10.0
Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """`status` 0: the stream or the connection was ended instead."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Http2:
    """Nothing is checked or corrected before it is sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._reader = reader
        self._writer = writer
        self._state = h2.connection.H2Connection(config)
        self._state.initiate_connection()

    @classmethod
    @asynccontextmanager
    async def on(cls, port: int, trust: ssl.SSLContext) -> AsyncIterator["Http2"]:
        trust.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(
        self, method: bytes, path: bytes, headers: Headers = (), body: Sequence[bytes] = ()
    ) -> Answer:
        """Args:
        body: the payloads of the DATA frames; none: the head is all.
        """
        pseudo = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path),
        ]
        stream = self._state.get_next_available_stream_id()
        self._state.send_headers(stream, [*pseudo, *headers], end_stream=not body)
        for number, data in enumerate(body):
            self._state.send_data(stream, data, end_stream=number == len(body) - 1)
        self._writer.write(self._state.data_to_send())
        async with asyncio.timeout(DEADLINE_S):
            return await self._answer()

    async def _answer(self) -> Answer:
        status, headers, body = 0, dict[bytes, bytes](), b""
        while data := await self._reader.read(65_536):
            for event in self._state.receive_data(data):
                match event:
                    case h2.events.ResponseReceived():
                        headers = {bytes(k): bytes(v) for k, v in event.headers or ()}
                        status = int(headers[b":status"])
                    case h2.events.DataReceived():
                        body += event.data or b""
                    case h2.events.StreamEnded():
                        return Answer(status, headers, body)
                    case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        return Answer(status, headers, body)
        return Answer(status, headers, body)
