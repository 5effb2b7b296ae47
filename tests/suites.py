"""Runs the suite folder by folder, says how long each took, and ends with the first bad status.

`make test` calls this; arguments go to pytest. Drills have their own target. The pages need a
browser, which is installed where that is ours to do; without one they go untested outside CI.
"""

import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
NOTHING_COLLECTED = 5
FIRST = ("test_tidy.py", "domain")
NO_BROWSER = 2  # of tests.web.chromium


def suites() -> list[Path]:
    folders = [p for p in TESTS.iterdir() if p.is_dir() and any(p.glob("test_*.py"))]
    found = [*TESTS.glob("test_*.py"), *folders]
    return sorted(
        (p for p in found if p.name != "drills"), key=lambda p: (p.name not in FIRST, p.name)
    )


def _run(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], check=False, cwd=TESTS.parent).returncode


def main(arguments: list[str]) -> int:
    worst = 0
    lines = []
    for suite in suites():
        began = time.monotonic()
        if suite.name == "web" and (missing := _run("-m", "tests.web.chromium")):
            said = "left out: no browser" if missing == NO_BROWSER else "FAIL: no browser"
            worst = worst or (0 if missing == NO_BROWSER else missing)
            lines.append(f"  {said} {suite.name:>8}")
            continue
        status = _run("-m", "pytest", "-q", "-m", "not drill", str(suite), *arguments)
        good = status in (0, NOTHING_COLLECTED)
        worst = worst or (0 if good else status)
        spent = time.monotonic() - began
        lines.append(f"  {'ok  ' if good else 'FAIL'} {suite.name:<16} {spent:6.1f} s")
    sys.stdout.write("\n".join(["", *lines, ""]) + "\n")
    return worst


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
