"""Worker threads: a few for work that would hold up the event loop, with a limit on what waits.

A permit belongs to the work, not to the request. A client that hangs up does not make room for
another piece of work while its own is still running.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from miaosha.domain.errors import DependencyDown, Overloaded
from miaosha.serving.ending import cancellations

Answer = TypeVar("Answer")


class WorkerThreads:
    """Args:
    name: of the threads.
    workers: threads.
    waiting_max: pieces of work that may wait for a thread; more raise Overloaded.
    limit: the name of that limit.
    """

    def __init__(self, name: str, workers: int, waiting_max: int, limit: str) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._permits = workers + waiting_max
        self._limit = limit

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """What `work` returns or raises.

        Raises:
            Overloaded: nothing was begun.
            DependencyDown: nothing was begun, as the threads are closed.
        """
        if self._permits <= 0:
            raise Overloaded(self._limit)
        self._permits -= 1
        loop = asyncio.get_running_loop()
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._permits += 1
            raise self._closed() from None

        def done(_: Future[Answer]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._give_back)

        future.add_done_callback(done)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if cancellations():
                raise
            raise self._closed() from None  # `close` took it from the queue

    def _closed(self) -> DependencyDown:
        return DependencyDown(f"{self._limit}: closed")

    def close(self) -> None:
        """Does not wait for work under way; who waits for work that has not begun is told."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give_back(self) -> None:
        self._permits += 1
