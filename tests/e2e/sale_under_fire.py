"""A whole sale by `miaosha demo` that a test may shoot at: its processes by role, what its terminal
says, and its verdict at the end.
"""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kit.killing import kill
from tests.kit.running import MIAOSHA, Up, end, environ, free_port
from tests.kit.waits import eventually

PROGRESS = re.compile(
    r"^(?P<phase>[a-z]+).*\| requests (?P<requests>\d+) accepted (?P<accepted>\d+)"
)
PAID = re.compile(r" paid (\d+) ")


class Sale(Up):
    """The running demo. `data` is its data directory."""

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        super().__init__(process, 0, Path("/"))
        self.out = out

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()

    def seen(self, pattern: re.Pattern[str], group: str | int) -> int:
        """The newest number of the terminal's lines; 0 before the first."""
        for line in reversed(self.lines()):
            if found := pattern.search(line):
                return int(found[group])
        return 0

    def accepted(self) -> int:
        return self.seen(PROGRESS, "accepted")

    def paid(self) -> int:
        return self.seen(PAID, 1)

    def wait_accepted(self, count: int) -> None:
        eventually(
            lambda: self._running() and self.accepted() >= count, 90, what=f"{count} accepted"
        )

    def wait_paid(self, count: int) -> None:
        eventually(lambda: self._running() and self.paid() >= count, 90, what=f"{count} paid")

    def _running(self) -> bool:
        assert self.process.poll() is None, "the demo ended: " + self.out.read_text()[-3_000:]
        return True

    def kill(self, role: str) -> None:
        """SIGKILL the role's process, and wait until the supervisor has started another."""
        old = self.children()[role]
        kill(old, signal.SIGKILL)
        eventually(lambda: self.children().get(role, old) != old, what=f"{role} again")

    def empty(self, role: str) -> None:
        """Kill a Valkey and delete its files before it is started again."""
        pid = self.children()[role]
        home = Path(f"/proc/{pid}/cwd").resolve()
        kill(self.process.pid, signal.SIGSTOP)  # so that it is not started on the old files
        try:
            kill(pid, signal.SIGKILL)
            shutil.rmtree(home / "appendonlydir")
        finally:
            kill(self.process.pid, signal.SIGCONT)
        eventually(lambda: self.children().get(role, pid) != pid, what=f"{role} again")

    def verdict(self, within_s: float = 200) -> None:
        """Wait for the end; I1 to I10 hold and every buyer's own view agrees with the ledger."""
        status = self.process.wait(within_s)
        text = self.out.read_text()
        assert "audit: clean" in text, text[-6_000:]
        assert status == 0, text[-6_000:]


@contextmanager
def sale_under_fire(
    home: Path,
    *,
    crowd: int,
    stock: int,
    pay_within_s: int = 4,
    extra_env: dict[str, str] | None = None,
    arguments: Sequence[str] = (),
    **settings: str,
) -> Iterator[Sale]:
    """`miaosha demo --exit-when-settled` in `home`; nothing is left of it afterwards."""
    out = home / "out"
    with out.open("w") as stream:
        process = subprocess.Popen(
            [
                *(MIAOSHA, "demo", "--crowd", str(crowd), "--stock", str(stock)),
                *("--opens-in", "2", "--pay-within", str(pay_within_s)),
                *("--exit-when-settled", "--port", str(free_port()), *arguments),
            ],
            env=environ(payment_max_s="15", **settings) | (extra_env or {}),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            text=True,
        )
    sale = Sale(process, out)
    try:
        yield sale
    finally:
        end(process)
