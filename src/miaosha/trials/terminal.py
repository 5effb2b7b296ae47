"""Terminal: shows the sale live, as a panel that redraws itself, or as plain lines."""

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from miaosha.domain.visible import visible_lines
from miaosha.serving.screen import Screen, cell
from miaosha.trials.snapshot import Part, Snapshot

PHASE_STYLE = {
    "scheduled": "bold cyan",
    "open": "bold green",
    "paused": "bold yellow",
    "frozen": "bold white on red",
    "closed": "bold magenta",
    "settled": "bold blue",
}
BAR = 48
NOTES = 4
PLAIN_EVERY_MS = 950  # a plain line at most this often
QUIET_S = 5.0  # a plain line at least this often


class Terminal:
    """`show` draws a snapshot; `note` adds a line of news; `close` leaves the last picture."""

    def __init__(self, screen: Screen, head: RenderableType) -> None:
        self._screen = screen
        self._head = head
        self._notes: list[Text] = []
        self._live: Live | None = None
        self._last_plain = ""
        self._last_at_ms = 0

    def open(self) -> None:
        if self._screen.draws:
            self._live = Live(console=self._screen, auto_refresh=False, transient=False)
            self._live.start()
        else:
            self._screen.show(self._head)

    def note(self, text: str) -> None:
        loud = text.startswith("!!")
        style = "bold red" if loud else "yellow"
        if self._live is None:
            self._screen.say(text, style=style)
            return
        self._notes = [*self._notes, Text(visible_lines(text), style=style)][-NOTES:]

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """`last`: a plain line even if one was just printed."""
        if self._live is not None:
            self._live.update(picture(snapshot, self._head, self._notes), refresh=True)
            return
        line = plain(snapshot)
        quiet_ms = snapshot.now_ms - self._last_at_ms
        news = line != self._last_plain and (last or quiet_ms >= PLAIN_EVERY_MS)
        if news or quiet_ms >= QUIET_S * 1000:
            self._last_plain, self._last_at_ms = line, snapshot.now_ms
            self._screen.say(line)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def countdown(snapshot: Snapshot) -> str:
    """What the clock says next to the phase."""
    left = snapshot.opens_at_ms - snapshot.now_ms
    if snapshot.phase == "scheduled":
        return f"opens in {max(0, left) / 1000:.1f} s"
    if snapshot.phase == "open":
        return f"open for {-left / 1000:.0f} s"
    return cell(snapshot.books.frozen or "")


def numbers(snapshot: Snapshot) -> dict[str, int]:
    """Every number of the picture by its name, in the order of a purchase."""
    books, reading = snapshot.books, snapshot.reading
    paying = books.holds.get("paying", 0)
    settled = books.phase == "settled"
    held = reading.held if reading else books.holds.get("held", 0) + paying
    return {
        "requests": snapshot.presses,
        "accepted": snapshot.count("publisher", "accepted"),
        "repeated": snapshot.count("publisher", "repeated"),
        "queued": 0 if settled else snapshot.queued,
        "free": reading.free if reading else max(0, books.stock - books.sold - held),
        "held": max(0, held - paying),
        "paying": paying,
        "paid": books.holds.get("paid", 0),
        "standby": reading.standby if reading and snapshot.phase != "settled" else 0,
        "expired": books.holds.get("expired", 0),
        "declined": books.holds.get("declined", 0),
        "promoted": books.promoted,
        "mails": books.mails.get("sent", 0),
    }


def plain(snapshot: Snapshot) -> str:
    """One line for a log."""
    said = " ".join(f"{name} {value}" for name, value in numbers(snapshot).items())
    sick = [part.name for part in snapshot.parts if part.health != "ready"]
    trouble = f" | not ready: {', '.join(sick)}" if sick else ""
    clock = countdown(snapshot)
    return f"{snapshot.phase}{f' ({clock})' if clock else ''} | {said}{trouble}"


def picture(snapshot: Snapshot, head: RenderableType, notes: list[Text]) -> RenderableType:
    """The whole screen."""
    style = PHASE_STYLE.get(snapshot.phase, "bold")
    title = Text.assemble(
        (f" {snapshot.phase.upper()} ", style), " ", (countdown(snapshot), "default")
    )
    inside: list[RenderableType] = [
        Text(cell(snapshot.title), style="bold"),
        Padding(_bar(snapshot), (1, 0)),
        _numbers(snapshot),
    ]
    if snapshot.crowd is not None:
        inside.append(Padding(_crowd(snapshot), (1, 0, 0, 0)))
    panel = Panel(
        Group(*inside), title=title, title_align="left", border_style="bright_black", padding=(1, 2)
    )
    return Group(head, panel, _parts(snapshot.parts), *notes)


def _bar(snapshot: Snapshot) -> Text:
    """The stock as one bar: paid, paying, held, free."""
    now = numbers(snapshot)
    stock = max(1, snapshot.books.stock)
    bar = Text()
    left = BAR
    for name, style in (("paid", "green"), ("paying", "yellow"), ("held", "blue")):
        width = min(left, -(-now[name] * BAR // stock)) if now[name] else 0
        bar.append("█" * width, style=style)
        left -= width
    bar.append("░" * left, style="bright_black")
    bar.append(f"  {snapshot.books.sold:,} of {snapshot.books.stock:,} sold", style="bold")
    return bar


def _numbers(snapshot: Snapshot) -> Table:
    now = numbers(snapshot)
    colours = {"paid": "green", "paying": "yellow", "held": "blue", "expired": "red"}
    table = Table.grid(padding=(0, 3))
    rows = [
        ("requests", "accepted", "repeated", "queued"),
        ("free", "held", "paying", "paid"),
        ("standby", "promoted", "expired", "declined"),
        ("mails",),
    ]
    for _ in range(4):
        table.add_column(min_width=17)
    for row in rows:
        cells = []
        for name in row:
            cells.append(_number(now[name], name, colours.get(name, "")))
        if row == ("mails",):
            cells.append(_number(snapshot.watching, "watching", ""))
        table.add_row(*cells)
    return table


def _number(value: int, name: str, colour: str) -> Text:
    return Text.assemble((f"{value:>6,} ", f"bold {colour}".strip()), (name, "dim"))


def _crowd(snapshot: Snapshot) -> Text:
    crowd = snapshot.crowd
    assert crowd is not None
    line = Text(
        f"crowd: {crowd.connected:,} of {crowd.people:,} connected, {crowd.pressed:,} have "
        f"pressed {crowd.presses:,} times, {crowd.done:,} have gone home",
        style="dim",
    )
    if crowd.complaints:
        line.append(f", {crowd.complaints} complaints", style="bold red")
    return line


def _parts(parts: list[Part]) -> Columns:
    cells = []
    for part in parts:
        good = part.health == "ready" and part.beating
        cell = Text("● ", style="green" if good else "red")
        cell.append(part.name, style="" if good else "bold red")
        if part.restarts:
            cell.append(f" ×{part.restarts}", style="yellow")
        if not good:
            cell.append(f" {part.health if part.health != 'ready' else 'silent'}", style="red")
        cells.append(cell)
    return Columns(cells, padding=(0, 2), column_first=False)
