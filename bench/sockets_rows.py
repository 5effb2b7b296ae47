"""Socket rows: results of `python -m bench sockets`, and their tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import report
from miaosha.trials.rehearsal.outcome import BroadcastResult, PersonalResults, RehearsalOutcome


class SocketRow(msgspec.Struct, kw_only=True):
    """One server with so many sockets, in one process.

    Attributes:
        bytes_each: private memory of the server's processes for each socket.
        connects_per_core: connects a second of the server's processor time.
        connect_us, recipient_us: processor time of a connect, and for each recipient of an event.
        also: bytes for each socket in other processes, by name.
    """

    name: str
    sockets: int
    bytes_each: float
    connects_per_s: float
    connects_per_core: float
    connect_us: float
    recipient_us: float
    errors: dict[str, int]
    also: dict[str, float] = {}


class SocketResult(msgspec.Struct, kw_only=True):
    """One run, as kept. `rehearsals` by the name of the scenario."""

    kind: str
    began: str
    machine: dict[str, Any]
    commit: str
    settings: dict[str, Any]
    rows: list[SocketRow] = []
    rehearsals: dict[str, RehearsalOutcome] = {}


def load(path: Path) -> SocketResult:
    """Raises SettingsError: it cannot be read, or is none."""
    return report.read(path, SocketResult)


def tables(result: SocketResult) -> str:
    found = []
    if result.rows:
        found.append(_comparison(result.rows))
    if result.rehearsals:
        found.append(_rehearsals(result.rehearsals))
    return "\n\n".join(found) + "\n"


def _comparison(rows: Sequence[SocketRow]) -> str:
    lines = [
        "| server | sockets | bytes each | connects/s | connects/s per core | µs a connect "
        "| µs a recipient | errors |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        bytes_each = f"{row.bytes_each:,.0f}"
        bytes_each += "".join(f"; {name} {each:,.0f}" for name, each in row.also.items())
        lines.append(
            f"| {row.name} | {row.sockets:,} | {bytes_each} | {row.connects_per_s:,.0f} "
            f"| {row.connects_per_core:,.0f} | {row.connect_us:.0f} | {row.recipient_us:.1f} "
            f"| {_kinds(row.errors)} |"
        )
    return "\n".join(lines)


def _rehearsals(rehearsals: dict[str, RehearsalOutcome]) -> str:
    """Rehearsals side by side, a line for each number."""
    names, each = list(rehearsals), list(rehearsals.values())
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    columns = [dict(_facts(outcome)) for outcome in each]
    for fact in columns[0]:
        lines.append(f"| {fact} | " + " | ".join(column[fact] for column in columns) + " |")
    return "\n".join(lines)


def _facts(o: RehearsalOutcome) -> list[tuple[str, str]]:
    held = f"{o.held_s:.0f} s, ping every {o.ping_interval_s:.0f} s, {o.pings:,} answered"
    return [
        ("sockets ready", f"{o.ready:,} of {o.connections:,}"),
        ("processes", f"{o.gateways} gateways, {o.client_processes} clients"),
        ("connected in", f"{o.connect_s:.1f} s ({o.connects_per_s:,.0f}/s)"),
        ("gateway CPU per connect", _number(o.connect_cpu_us, " µs")),
        ("gateway memory per socket", _number(o.bytes_per_connection, " B")),
        ("an empty gateway", _number(o.empty_gateway_mb, " MB")),
        (
            "the machine per socket, kernel and clients included",
            _number(o.machine_bytes_per_connection, " B"),
        ),
        ("held", held),
        ("gateway CPU meanwhile", _number(o.hold_cpu_percent, " % of a core")),
        ("broadcast", _told(o.broadcast)),
        ("broadcast beside results", _told(o.busy_broadcast)),
        ("personal result", _personal(o.personal)),
        ("… during the broadcast", _personal(o.busy_personal)),
        ("reconnect storm", f"{o.storm_sockets:,} in {o.storm_s:.1f} s" if o.storm_s else "–"),
        (
            "longest without a ping",
            f"{o.clients.silence_s:.1f} of {o.ping_interval_s + o.ping_timeout_s:.0f} s allowed"
            if o.clients.silence_s
            else "–",
        ),
        ("lost", _kinds(o.clients.lost)),
        ("counted by the gateways", _kinds(o.gateway_counts)),
        ("unfinished", "; ".join(o.unfinished) or "nothing"),
        ("failed and tried again", _kinds(o.clients.failed)),
    ]


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:,.1f}{unit}" if value < 100 else f"{value:,.0f}{unit}"


def _told(told: BroadcastResult | None) -> str:
    if told is None:
        return "–"
    d = told.delivery
    return (
        f"{told.expected - told.missed:,} of {told.expected:,}; first {d.first_ms:,.0f}, "
        f"p50 {d.p50_ms:,.0f}, p99 {d.p99_ms:,.0f}, last {d.last_ms:,.0f} ms; "
        f"{told.cpu_us_per_recipient:.1f} µs each"
    )


def _personal(personal: PersonalResults | None) -> str:
    if personal is None:
        return "–"
    late = personal.latency
    return (
        f"p50 {late.p50_ms:,.0f}, p99 {late.p99_ms:,.0f} ms; "
        f"{personal.missing} of {personal.sent} missing"
    )


def _kinds(kinds: dict[str, int]) -> str:
    return ", ".join(f"{kind}: {number:,}" for kind, number in kinds.items()) or "none"
