"""UvicornConnection: uvicorn's, with a limit for heads, and refusals as problem+json.

The parser, llhttp, refuses what two readers could read in two ways. Uvicorn does not count what it
gives to the parser, and its own refusals are plain text.
"""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from miaosha.serving.http_response import problem

SLACK_BYTES: Final = 65_536  # read in one go, beyond the limit, before a head without end is cut


class HeadTooLarge(Exception):
    """Stops the parser."""


class UvicornConnection(HttpToolsProtocol):
    """Args:
    header_max: bytes of a head at most (request target, names and values).
    given: uvicorn's own.
    """

    def __init__(self, header_max: int, **given: Any) -> None:
        super().__init__(**given)
        self._header_max = header_max
        self._left = 0  # of this head
        self._in_head = False
        self._unparsed = 0  # bytes that came since it began
        self._code = "bad_request"  # how it is refused, if it is

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._unparsed += len(data)
            if self._unparsed > self._header_max + SLACK_BYTES:
                self._code = "headers_too_large"
                self.send_400_response("")

    def on_message_begin(self) -> None:
        self._in_head = True
        self._unparsed = 0
        self._left = self._header_max
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._left -= len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._left -= len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._left < 0:
            self._code = "headers_too_large"
            raise HeadTooLarge
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser has failed; it ends the connection."""
        self._in_head = False
        if self.transport.is_closing():
            return
        self.transport.write(problem(self._code, keep=False))
        self.transport.close()
