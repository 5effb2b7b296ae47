"""Limits: `python -m docs.draw.limits docs/sockets.md` draws the table in that page."""

import re
import sys
from pathlib import Path
from typing import Final

from miaosha.supervisor.machine.machine_limits import LIMITS, Limit

BEGIN: Final = "<!-- limits: drawn by make docs from supervisor/machine/machine_limits.py -->"
END: Final = "<!-- /limits -->"
_PLACE: Final = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_VALUE: Final = re.compile(r"\{[a-z]+\}")


def table() -> str:
    """The limits as Markdown, one row each."""
    rows = ["| limit | what is needed | the line that raises it | below it |", "|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, LIMITS)])


def _row(limit: Limit) -> str:
    line = _VALUE.sub("N", limit.line)
    end = "" if limit.stops else " (only said)"
    return f"| {limit.name} | {limit.rule} | `{line}` | {limit.wrong}{end} |"


def drawn(page: str) -> str:
    """`page` with the table in its place."""
    assert BEGIN in page and END in page
    return _PLACE.sub(lambda _: f"{BEGIN}\n{table()}\n{END}", page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(drawn(path.read_text("utf-8")), "utf-8")
