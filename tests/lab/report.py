"""Report: what many histories came to, as JSON, and as the tables of docs/lab.md."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from miaosha.domain.reservation import TRANSITIONS, State
from tests.lab.campaign import Totals
from tests.lab.faults import Mishap
from tests.lab.hunting import Hunt, own
from tests.lab.mutants.table import MUTANTS

ROOT: Final = Path(__file__).parent.parent.parent
REPORT: Final = ROOT / "docs" / "lab-report.md"
MET: Final = (Mishap.AWAY, Mishap.LOST, Mishap.DIES_BEFORE, Mishap.DIES_AFTER)
# Redis knows no payment, and SQL no standby. `closed` is derived, never stored.
IN_REDIS: Final = frozenset(
    f"{before} → {after}"
    for before, moves in TRANSITIONS.items()
    for after in moves.values()
    if State.PAYING not in (before, after) and State.CLOSED not in (before, after)
)
IN_SQL: Final = frozenset(
    (
        *("HELD → PAYING", "HELD → EXPIRED", "HELD → DECLINED"),
        *("PAYING → HELD", "PAYING → PAID", "PAYING → EXPIRED"),
    )
)
EDGES: Final = IN_REDIS | IN_SQL


def write(totals: Totals, to: Path) -> None:
    """Replace the file with what is known by now."""
    seeds = sorted(totals.digests)
    told = {
        "commit": _commit(),
        "first": seeds[0] if seeds else 0,
        "last": seeds[-1] if seeds else 0,
        "histories": totals.histories,
        "seconds": round(totals.wall_s),
        "findings": [
            {"seed": v.seed, "oracle": v.findings[0].oracle, "sentence": v.findings[0].sentence}
            for v in totals.found
        ],
        "counts": _of(totals.counts, ("calls", "turns", "units", "killed", "drained", "acts")),
        "events": _after(totals.counts, "event "),
        "looks": _after(totals.counts, "look "),
        "moves": _after(totals.counts, "move "),
        "faults": _kinds(totals.faults),
        "covered": dict(sorted(totals.covered.items())),
    }
    to.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def _of(counts: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in names}


def _after(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    found = {n.removeprefix(prefix): c for n, c in counts.items() if n.startswith(prefix)}
    return dict(sorted(found.items()))


def _kinds(faults: Mapping[str, int]) -> dict[str, int]:
    """By kind; the name of a call has no blank."""
    kinds: Counter[str] = Counter()
    for name, count in faults.items():
        kinds[name.partition(" ")[2]] += count
    return dict(sorted(kinds.items()))


def tables(written: Path, hunted: Path | None) -> str:
    """The page of what `write` wrote, and of what became of the mutants."""
    told = msgspec.json.decode(written.read_bytes())
    hunts = msgspec.json.decode(hunted.read_bytes(), type=list[Hunt]) if hunted else []
    counts = told["counts"]
    parts = [
        "# What the laboratory has seen",
        f"`python -m tests.lab report` writes this page. Commit {told['commit']}, seeds"
        f" {told['first']:,} to {told['last']:,}: {told['histories']:,} histories,"
        f" {counts['calls']:,} calls, {sum(told['faults'].values()):,} calls that went wrong,"
        f" {counts['killed']:,} deaths, {len(told['findings'])} findings.",
        _table("finding", "seed", [(f["sentence"], f["seed"]) for f in told["findings"]]),
        _table("what befell a call", "times", told["faults"].items()),
        _table("what happened to servers and processes", "times", told["events"].items()),
        _table("an oracle", "looked", told.get("looks", {}).items()),
        _table("a place or a hold moved", "times", told["moves"].items()),
        _never(told["moves"], told["covered"]),
        _mutants(hunts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(what: str, how: str, rows: Iterable[tuple[str, object]]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([f"| {what} | {how} |", "|---|---|", *lines]) if lines else ""


def _never(moves: Mapping[str, int], covered: Mapping[str, int]) -> str:
    """What never happened: moves of the table, and calls that never met a kind of fault."""
    missing = sorted(EDGES - set(moves))
    calls = sorted({name.partition("|")[0] for name in covered})
    lines = [f"| {edge} | a move of the table |" for edge in missing]
    for call in calls:
        kinds = [kind for kind in MET if f"{call}|{kind}" not in covered]
        if kinds:
            lines.append(f"| `{call}` | {', '.join(kinds)} |")
    head = ["## What never happened", "", "| what | never met |", "|---|---|"]
    return "\n".join([*head, *lines]) if lines else "Everything that can happen did."


def _mutants(hunts: Sequence[Hunt]) -> str:
    by_name = {hunt.name: hunt for hunt in hunts}
    lines = []
    for mutant in MUTANTS:
        hunt = by_name.get(mutant.name)
        if hunt is None:
            continue
        found = f"{', '.join(hunt.oracles)}, seed {hunt.seed}" if hunt.found else "not found"
        second = "; another rule holds, too" if mutant.second else ""
        lines.append(f"| {mutant.what} | {found}{second} |")
    head = ["## Rules that were broken", "", "| rule | found by |", "|---|---|"]
    alone = [(oracle, len(names)) for oracle, names in sorted(own(hunts).items())]
    parts = ["\n".join([*head, *lines]), _table("an oracle", "found alone", alone)]
    return "\n\n".join(parts) if lines else ""
