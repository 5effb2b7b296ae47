"""Drills: runs the long fault drills by their parts, one after the other, and says what each took.

`make drills` calls this: `python -m tests.drills [PART] [arguments of pytest]`. The exit status is
the first bad one. Three hours on two cores are the limit of all of them.
"""

import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
PARTS = {
    "model": "drills/test_model_large.py",
    "store": "contract/test_store_machine.py",
    "lab": "lab/test_long_lab.py",
    "kills": "drills/test_kills.py",
    "faults": "e2e/test_faults.py",
    "disk": "drills/test_full_disk.py",
    "cluster": "e2e/test_cluster_sale.py",
    "stack": "drills/test_full_stack.py",
    "sales": "e2e/test_many_sales.py",
    "big": "drills/test_big_sale.py",
}


def run(part: str, arguments: list[str]) -> int:
    """Its status; what it prints is shown meanwhile."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-m", "drill", str(TESTS / PARTS[part]), *arguments]
    status = subprocess.run(command, check=False, cwd=TESTS.parent).returncode
    sys.stdout.write(
        f"== {'FAIL' if status else 'ok  '} {part:<8} {time.monotonic() - began:7.1f} s\n"
    )
    sys.stdout.flush()
    return status


def main(arguments: list[str]) -> int:
    wanted = [word for word in arguments[:1] if word in PARTS]
    if arguments and not wanted and not arguments[0].startswith("-"):
        sys.stderr.write(f"{arguments[0]!r} is no part; there are {', '.join(PARTS)}\n")
        return 2
    statuses = [run(part, arguments[len(wanted) :]) for part in wanted or PARTS]
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
