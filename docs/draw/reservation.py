"""Reservation: draws docs/reservation.md from the table in domain/reservation.py.

`python -m docs.draw.reservation [FILE]` writes it (default: docs/reservation.md). A test fails when
the page and the table differ.
"""

import sys
from pathlib import Path
from typing import Final

from miaosha.domain import reservation
from miaosha.domain.reservation import GRACE_MS, LIVE, MAX_ATTEMPTS, TRANSITIONS, Event, State

PAGE: Final = Path("docs/reservation.md")

MEANING: Final[dict[Event, str]] = {
    Event.WIN: "a request is decided while units are free and nobody stands by",
    Event.WAIT: "a request is decided while standby is below its limit",
    Event.PROMOTE: "a unit came free and this place heads standby",
    Event.LEAVE: "the buyer gives up a standby place",
    Event.CLOSE: "past closing time with nothing held any more; derived, never stored",
    Event.PAY: "the buyer's payment begins and pins the hold",
    Event.CAPTURE: "the payment was captured; the order exists",
    Event.REFUSE: "the payment was refused, and the hold may try again",
    Event.REFUSE_LAST: f"the refusal came after pay_by, or was number {MAX_ATTEMPTS}",
    Event.EXPIRE: f"pay_by and {GRACE_MS / 1000:g} s of grace have passed",
    Event.DECLINE: "the buyer gives up the hold",
    Event.RETURN: "a rebuild found a hold that SQL never granted; it keeps its rank",
}


def moves() -> list[tuple[State, Event, State]]:
    """Every move of the table, in its order."""
    return [(old, event, new) for old, out in TRANSITIONS.items() for event, new in out.items()]


def diagram() -> str:
    """The table as a Mermaid state diagram; `none` is the start, states without a move the end."""
    lines = ["stateDiagram-v2"]
    for old, event, new in moves():
        start = "[*]" if old is State.NONE else old
        lines.append(f"    {start} --> {new}: {event}")
    lines += [f"    {state} --> [*]" for state, out in TRANSITIONS.items() if not out]
    return "\n".join(lines)


def table() -> str:
    """The table as Markdown, one row per move."""
    rows = ["| from | event | to | when |", "|---|---|---|---|"]
    rows += [f"| {old} | {event} | {new} | {MEANING[event]} |" for old, event, new in moves()]
    return "\n".join(rows)


def page() -> str:
    """The whole of docs/reservation.md."""
    title, theory = (reservation.__doc__ or "").split("\n", 1)
    live = ", ".join(state for state in State if state in LIVE)
    return f"""<!-- Drawn from domain/reservation.py by `python -m docs.draw.reservation`. -->

# {title.rstrip(".")}

{_as_markdown(theory)}

## The moves

```mermaid
{diagram()}
```

{table()}

Any other move raises `IllegalTransition`, naming the state and the event. Live: {live}.
"""


def _as_markdown(theory: str) -> str:
    """A docstring's indented picture becomes a code block; its paragraphs stay."""
    blocks = theory.strip("\n").split("\n\n")
    drawn: list[str] = []
    for block in blocks:
        indented = all(line.startswith("    ") for line in block.splitlines())
        drawn.append(f"```text\n{block}\n```" if indented else block)
    return "\n\n".join(drawn)


def write(path: Path = PAGE) -> None:
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
