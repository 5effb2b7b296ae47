"""Sessions without a client, for tests of what holds them."""

from miaosha.sockets.application import Application, Limits
from miaosha.sockets.handshake import Rules
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session


class Silent(Session):
    """A session that nothing carries: it never hears anything."""

    __slots__ = ()


def silent_server() -> SocketServer:
    """A server without an application, whose clock stands still."""

    class Nothing:
        """No application."""

    application: Application = Nothing()  # type: ignore[assignment]
    return SocketServer(
        application,
        Limits(),
        Rules(b"/", frozenset()),
        monotonic=lambda: 0.0,
        now_s=lambda: 0,
        counters={},
    )
