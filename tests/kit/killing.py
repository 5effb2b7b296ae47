"""Killing: a signal to one process. To the system, 0 is everybody in the sender's own group."""

import os
import signal


def kill(pid: int, sig: int = signal.SIGKILL) -> None:
    """Send it. Raises AssertionError for a pid that names no single process: a child that is just
    being started has none yet."""
    assert pid > 0, f"pid {pid} names no process"
    os.kill(pid, sig)
