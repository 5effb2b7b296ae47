"""Runs the suite, two parts at a time, says how long each took, and ends with the first bad status.

`make test` calls this; arguments go to pytest. A part is a folder; of e2e, where tests mostly wait
for processes, a file. What a part printed is shown when it has ended. Drills have their own target.
The pages need a browser, which is installed where that is ours to do; without one they go untested
outside CI.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
LANES = 2
NOTHING_COLLECTED = 5
FIRST = ("test_tidy.py", "domain")  # what fails fast
LONGEST = ("web", "usecases", "contract", "e2e")  # then these, so that no lane ends alone
APART = ("e2e",)
NO_BROWSER = 2  # of tests.web.chromium


class Part(NamedTuple):
    """How a part ended. status: 0 is good."""

    line: str
    status: int
    printed: str


def parts() -> list[Path]:
    folders = [p for p in TESTS.iterdir() if p.is_dir() and any(p.glob("test_*.py"))]
    found = [*TESTS.glob("test_*.py"), *(p for p in folders if p.name != "drills")]
    whole = [p for p in found if p.name not in APART]
    files = [file for p in found if p.name in APART for file in p.glob("test_*.py")]
    order = (*FIRST, *LONGEST)

    def place(path: Path) -> tuple[int, str]:
        name = path.parent.name if path.parent.name in APART else path.name
        return (order.index(name) if name in order else len(order), path.name)

    return sorted([*whole, *files], key=place)


def _python(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.returncode, done.stdout


def run(part: Path, arguments: list[str]) -> Part:
    began = time.monotonic()
    name = str(part.relative_to(TESTS))
    if part.name == "web":
        missing, printed = _python("-m", "tests.web.chromium")
        if missing:
            said = "left out: no browser" if missing == NO_BROWSER else "FAIL: no browser"
            return Part(f"{said} {name}", 0 if missing == NO_BROWSER else missing, printed)
    status, printed = _python(
        "-m", "pytest", "-q", "-m", "not drill and not servers", str(part), *arguments
    )
    good = status in (0, NOTHING_COLLECTED)
    spent = time.monotonic() - began
    line = f"{'ok  ' if good else 'FAIL'} {name:<30} {spent:6.1f} s"
    return Part(line, 0 if good else status, printed)


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    ended: list[Part] = []
    lanes = ThreadPoolExecutor(LANES)
    try:
        for done in as_completed([lanes.submit(run, part, arguments) for part in parts()]):
            part = done.result()
            ended.append(part)
            sys.stdout.write(f"{part.printed}== {part.line}\n")
            sys.stdout.flush()
    finally:
        lanes.shutdown(cancel_futures=True)
    lines = [f"  {part.line}" for part in ended]
    total = f"  {'all':<35} {time.monotonic() - began:6.1f} s"
    sys.stdout.write("\n".join(["", *lines, total, ""]) + "\n")
    return next((part.status for part in ended if part.status), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
