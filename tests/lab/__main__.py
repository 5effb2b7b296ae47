"""The laboratory's commands: `python -m tests.lab run|replay|shrink|mutants|report`."""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tests.lab.campaign import Totals, histories, history
from tests.lab.dice import Record
from tests.lab.hunting import SEEDS_MAX, Hunt, hunt_all, own
from tests.lab.mutants.table import MUTANTS
from tests.lab.report import REPORT, tables, write
from tests.lab.shrinking import WITHIN_S, shrunk
from tests.lab.world import Verdict

WRITTEN_EVERY: Final = 500  # histories
TRACE_SHOWN: Final = 20
MINUTE_S: Final = 60.0


def main(argv: list[str]) -> int:
    options = _options(argv)
    match options.command:
        case "run":
            return run(options.seeds, options.seconds, options.to, digests=options.digests)
        case "replay":
            return replay(options.seed, options.record)
        case "shrink":
            return shrink(options.seed, options.seconds, options.to)
        case "report":
            return report(options.written, options.mutants)
    return mutants(options.names, options.first, options.most, options.to)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="live histories; 1 if anything is found")
    running.add_argument("seeds", nargs="?", default="", help="FROM:TO, both included, or one seed")
    running.add_argument("--seconds", type=float, default=MINUTE_S, help="without seeds")
    running.add_argument("--to", type=Path, help="write what happened to this JSON file, too")
    running.add_argument("--digests", action="store_true", help="print each history's digest")
    replaying = commands.add_parser("replay", help="tell one history again, line by line")
    replaying.add_argument("seed", type=int)
    replaying.add_argument(
        "--record", type=Path, help="by this record instead, as `shrink` wrote it"
    )
    shrinking = commands.add_parser("shrink", help="a smaller history with the same finding")
    shrinking.add_argument("seed", type=int)
    shrinking.add_argument("--seconds", type=float, default=WITHIN_S, help="how long to try")
    shrinking.add_argument("--to", type=Path, help="write its record to this JSON file")
    telling = commands.add_parser(
        "report", help="write docs/lab-report.md from what `run --to` wrote"
    )
    telling.add_argument("written", type=Path)
    telling.add_argument("--mutants", type=Path, help="what `mutants --to` wrote")
    hunting = commands.add_parser("mutants", help="break rules one by one, and see who finds them")
    hunting.add_argument("names", nargs="*", help="of these alone")
    hunting.add_argument("--first", type=int, default=1, help="the first seed that is tried")
    hunting.add_argument("--to", type=Path, help="write what became of them to this JSON file, too")
    hunting.add_argument("--most", type=int, default=SEEDS_MAX, help="seeds tried for each")
    return parser.parse_args(argv)


def run(seeds: str, seconds: float, to: Path | None, *, digests: bool) -> int:
    if seeds:
        wanted, within_s = _range(seeds), float("inf")
    else:
        first = int(time.time()) % 1_000_000 * 1_000
        print(f"seeds from {first}", flush=True)
        wanted, within_s = range(first, first + 1_000_000), seconds
    totals = Totals()
    for verdict in histories(wanted, within_s=within_s):
        totals.add(verdict)
        _tell(verdict)
        if to is not None and totals.histories % WRITTEN_EVERY == 0:
            write(totals, to)
    if to is not None:
        write(totals, to)
    if digests:
        for seed, digest in sorted(totals.digests.items()):
            print(seed, digest)
    print(summary(totals))
    return 1 if totals.found else 0


def _range(text: str) -> Iterable[int]:
    first, _, last = text.partition(":")
    return range(int(first), int(last or first) + 1)


def _tell(verdict: Verdict) -> None:
    for finding in verdict.findings[:1]:
        print(f"\nseed {verdict.seed}: {finding.oracle}: {finding.sentence}")
        before = [line for line in verdict.trace if line[0] <= finding.at_s]
        for at_s, who, what in before[-TRACE_SHOWN:]:
            print(f"  {at_s:10.4f} {who:14} {what}")
        print(f"  python -m tests.lab replay {verdict.seed}")


def summary(totals: Totals) -> str:
    """What a campaign came to, in a few lines."""
    faults = sum(totals.faults.values())
    deaths = totals.counts["killed"]
    minute = totals.histories / totals.wall_s * 60 if totals.wall_s else 0
    return (
        f"{totals.histories} histories in {totals.wall_s:.0f} s ({minute:.0f} a minute):"
        f" {totals.counts['calls']} calls, {faults} faults, {deaths} deaths,"
        f" {len(totals.found)} with findings"
    )


def replay(seed: int, record: Path | None) -> int:
    told = None if record is None else msgspec.json.decode(record.read_bytes(), type=Record)
    verdict = history(seed, told, tracing=True)
    for at_s, who, what in verdict.trace:
        print(f"{at_s:10.4f} {who:14} {what}")
    for finding in verdict.findings:
        print(f"{finding.oracle}: {finding.sentence}")
    print(verdict.digest)
    return 1 if verdict.findings else 0


def shrink(seed: int, within_s: float, to: Path | None) -> int:
    """1: a smaller history is printed; 0: nothing was found at this seed."""
    found = history(seed).findings
    if not found:
        print(f"nothing is found at seed {seed}")
        return 0
    oracle = found[0].oracle

    def still(record: Record) -> bool:
        return any(finding.oracle == oracle for finding in history(seed, record).findings)

    record = shrunk(history(seed).record, still, within_s)
    verdict = history(seed, record)
    _tell(verdict)
    told = sum(1 for row in record.values() for value in row if value)
    print(f"{told} choices are left, of {sum(map(len, verdict.record.values()))} that were made")
    if to is not None:
        to.write_bytes(msgspec.json.encode(record))
        print(f"python -m tests.lab replay {seed} --record {to}")
    return 1


def report(written: Path, hunted: Path | None) -> int:
    page = tables(written, hunted)
    REPORT.write_text(page, encoding="utf-8")
    print(f"wrote {REPORT.name}")
    return 0


def mutants(names: list[str], first: int, most: int, to: Path | None) -> int:
    hunts = hunt_all(_tell_hunt, names, first, most)
    if to is not None:
        to.write_bytes(msgspec.json.encode(hunts))
    second = {mutant.name for mutant in MUTANTS if mutant.second}
    missed = [hunt.name for hunt in hunts if not hunt.found and hunt.name not in second]
    print(f"{sum(hunt.found for hunt in hunts)} of {len(hunts)} found")
    for oracle, alone in sorted(own(hunts).items()):
        print(f"found by {oracle} alone: {', '.join(alone) or 'none'}")
    if missed:
        print("not found: " + ", ".join(missed))
    return 1 if missed else 0


def _tell_hunt(hunt: Hunt) -> None:
    told = f"{', '.join(hunt.oracles)}: {hunt.sentence}" if hunt.found else "NOT FOUND"
    print(f"{hunt.name:32} seed {hunt.seed:<5} {hunt.cpu_s:6.1f} s  {told}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
