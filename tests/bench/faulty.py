"""Small servers that do something wrong on purpose, each in a thread of its own."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

BATCH = "01981234-0000-7000-8000-%012x"
# What a server does with request number n (from 0, over all connections): the bytes it answers
# with, or None to close the connection without an answer.
Behaviour = Callable[[int], bytes | None]


def accepted(number: int, index: int = 0) -> bytes:
    body = f'{{"request_id":"{BATCH % number}.{index}","state":"queued"}}'
    return answer(202, body)


def answer(status: int, body: str = '{"code":"overloaded"}') -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@contextlib.contextmanager
def serving(path: Path, behaviour: Behaviour) -> Iterator[str]:
    """The target of a server that answers one request after the other; requests end in a blank
    line and have no body."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    numbers = count()
    lock = threading.Lock()
    open_sockets: list[socket.socket] = []

    def converse(client: socket.socket) -> None:
        waiting = b""
        with contextlib.suppress(OSError), client:
            while data := client.recv(65_536):
                waiting += data
                while b"\r\n\r\n" in waiting:
                    waiting = waiting.partition(b"\r\n\r\n")[2]
                    with lock:
                        reply = behaviour(next(numbers))
                    if reply is None:
                        return
                    client.sendall(reply)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                open_sockets.append(client)
                threading.Thread(target=converse, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"unix:{path}"
    finally:
        for each in (listener, *open_sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
