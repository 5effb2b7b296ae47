"""Outcome: what a rehearsal measured, with the units in the names, and its table."""

import msgspec
from rich.table import Table
from rich.text import Text

from miaosha.serving.screen import cell
from miaosha.trials.rehearsal.client_protocol import Said


class Spread(msgspec.Struct, frozen=True, omit_defaults=True):
    """Milliseconds of `count` moments."""

    count: int
    first_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    last_ms: float = 0.0


class BroadcastResult(msgspec.Struct, frozen=True, kw_only=True):
    """A broadcast: `expected` sockets were ready as it began."""

    expected: int
    delivery: Spread
    missed: int
    twice: int
    cpu_us_per_recipient: float


class PersonalResults(msgspec.Struct, frozen=True, kw_only=True):
    """Personal results: from the publishing on the bus to the socket."""

    sent: int
    missing: int
    latency: Spread


class RehearsalOutcome(msgspec.Struct, kw_only=True):
    """A whole rehearsal. What was not measured is None. Processor time and memory are those of
    the gateways, and only known where the rehearsal started them.

    Attributes:
        gateway_counts: whom the gateways refused, closed and dropped, by counter; `clients.lost`
            says the same as the clients saw it.
        unfinished: steps that came to no end, and why.
    """

    connections: int
    gateways: int
    client_processes: int
    ping_interval_s: float = 0.0
    ping_timeout_s: float = 0.0
    ready: int = 0
    connect_s: float = 0.0
    connects_per_s: float = 0.0
    connects_per_s_per_core: float | None = None
    connect_cpu_us: float | None = None
    connect_latency: Spread | None = None
    empty_gateway_mb: float | None = None
    bytes_per_connection: float | None = None
    machine_bytes_per_connection: float | None = None
    client_bytes_per_connection: float = 0.0
    held_s: float = 0.0
    hold_cpu_percent: float | None = None
    pings: int = 0
    broadcast: BroadcastResult | None = None
    busy_broadcast: BroadcastResult | None = None
    personal: PersonalResults | None = None
    busy_personal: PersonalResults | None = None
    storm_sockets: int = 0
    storm_s: float | None = None
    restarts: int = 0
    gateway_counts: dict[str, int] = {}
    unfinished: list[str] = []
    notes: list[str] = []
    clients: Said = msgspec.field(default_factory=Said)

    @property
    def clean(self) -> bool:
        """Everybody came, nobody was lost, every broadcast and result arrived once."""
        told = [each for each in (self.broadcast, self.busy_broadcast) if each]
        personal = [each for each in (self.personal, self.busy_personal) if each]
        return (
            self.ready == self.connections
            and self.clients.ready == self.connections
            and not self.clients.lost
            and not self.clients.gave_up
            and not self.restarts
            and not self.unfinished
            and not any(each.missed or each.twice for each in told)
            and not any(each.missing for each in personal)
        )


def table(outcome: RehearsalOutcome) -> Table:
    """The outcome for people."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="bold")
    shown.add_column(justify="right")
    shown.add_column(style="dim")
    for name, value, more in _rows(outcome):
        shown.add_row(name, value, more)
    for what, kinds in (
        ("failed, tried again", outcome.clients.failed),
        ("LOST", outcome.clients.lost),
        ("counted by the gateways", outcome.gateway_counts),
    ):
        for kind, number in kinds.items():
            shown.add_row(Text(what, style="red"), f"{number:,}", cell(kind))
    return shown


Row = tuple[str, str, str]


def _rows(o: RehearsalOutcome) -> list[Row]:
    rows = [*_connected(o), *_memory(o)]
    if o.held_s:
        cpu = "" if o.hold_cpu_percent is None else f"; {o.hold_cpu_percent:.1f} % of a core"
        rows.append(("held", f"{o.held_s:.0f} s", f"{o.pings:,} heartbeats answered{cpu}"))
    if o.ping_interval_s:
        allowed = f"{o.ping_interval_s + o.ping_timeout_s:.0f} s are allowed"
        rows.append(("longest without a ping", f"{o.clients.silence_s:.1f} s", allowed))
    for name, told in (("broadcast", o.broadcast), ("  with results", o.busy_broadcast)):
        if told:
            each = f"{told.cpu_us_per_recipient:.1f} µs gateway CPU each; twice {told.twice}"
            reached = f"{told.expected - told.missed:,} of {told.expected:,}"
            rows += [(name, *_spread(told.delivery)), ("", reached, each)]
    for name, personal in (("result", o.personal), ("  in a broadcast", o.busy_personal)):
        if personal:
            value, more = _spread(personal.latency)
            rows.append((name, value, f"{more}; {personal.missing} of {personal.sent} missing"))
    if o.storm_s is not None:
        rate = f"{o.storm_sockets / max(o.storm_s, 0.001):,.0f}/s"
        storm = f"{o.storm_sockets:,} sockets, {rate}"
        rows.append(("reconnect storm", f"{o.storm_s:.1f} s", storm))
    if o.restarts:
        rows.append(("[red]gateways restarted[/]", str(o.restarts), ""))
    rows += [("[red]unfinished[/]", "", what) for what in o.unfinished]
    return rows + [("note", "", note) for note in o.notes]


def _connected(o: RehearsalOutcome) -> list[Row]:
    processes = f"{o.gateways} gateways, {o.client_processes} client processes"
    rows = [
        ("sockets", f"{o.ready:,} of {o.connections:,}", processes),
        ("connected in", f"{o.connect_s:.1f} s", f"{o.connects_per_s:,.0f}/s"),
    ]
    if o.connect_cpu_us is not None:
        per_core = f"{o.connects_per_s_per_core:,.0f}/s per core of the gateways"
        rows.append(("  gateway CPU", f"{o.connect_cpu_us:.0f} µs each", per_core))
    if o.connect_latency:
        rows.append(("  until ready", *_spread(o.connect_latency)))
    return rows


def _memory(o: RehearsalOutcome) -> list[Row]:
    rows = []
    if o.bytes_per_connection is not None:
        empty = f"beside {o.empty_gateway_mb:.1f} MB of an empty process"
        rows.append(("gateway memory", f"{o.bytes_per_connection:,.0f} B each", empty))
    if o.machine_bytes_per_connection is not None:
        client = f"kernel and clients included; client {o.client_bytes_per_connection:,.0f} B"
        rows.append(("machine memory", f"{o.machine_bytes_per_connection:,.0f} B each", client))
    return rows


def _spread(spread: Spread) -> tuple[str, str]:
    if not spread.count:
        return "none", ""
    return (
        f"p50 {spread.p50_ms:,.0f} ms",
        f"first {spread.first_ms:,.0f}, p99 {spread.p99_ms:,.0f}, last {spread.last_ms:,.0f} ms",
    )
