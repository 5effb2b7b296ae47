"""Report: what many histories came to, as JSON, and as the tables of docs/lab.md."""

import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from tests.lab.campaign import Totals

ROOT: Final = Path(__file__).parent.parent.parent


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
