"""Memory: what a process does that holds many small things for long, or answers many requests."""

import contextlib
import ctypes
import gc
from typing import Final

GC_YOUNG: Final = 50_000  # objects between two looks of the collector


def settle() -> None:
    """Give back what importing took, and let the collector look rarely, and not at what stays.
    For a process whose requests and sockets leave few cycles behind."""
    gc.collect()
    trim()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 50)


def trim() -> None:
    """Give freed memory back to the system."""
    with contextlib.suppress(AttributeError):  # not every libc has it
        ctypes.CDLL(None).malloc_trim(0)
