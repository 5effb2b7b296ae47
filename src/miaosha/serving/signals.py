"""Signals: end a process, unless it was started to ignore them, as `nohup` and shells do."""

import asyncio
import signal
from collections.abc import Callable, Iterable
from types import FrameType


def heed(signals: Iterable[int], heard: Callable[[], object]) -> None:
    """In the running loop, call `heard` for each of these, but for those that were ignored at the
    start. A child hears those all the same: whoever starts it ends it by them. Only an ignored
    hang-up stays ignored in children, too: it comes from the terminal, to all."""
    loop = asyncio.get_running_loop()
    for sig in signals:
        if signal.getsignal(sig) is signal.SIG_IGN:
            if sig != signal.SIGHUP:
                signal.signal(sig, _unheard)  # a program that is started begins without handlers
        elif signal.getsignal(sig) is not _unheard:
            loop.add_signal_handler(sig, heard)


def _unheard(_signal: int, _frame: FrameType | None) -> None:
    """Nothing."""
