"""Bench command: `python -m bench run|scale|profile|sockets|page`; see docs/benchmarks.md."""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from bench import commands, report, sockets_rows, sockets_run
from bench.commands import FULL, SCENARIOS, Options
from bench.servers import STACKS
from miaosha.cli.command import guarded, to_its_end
from miaosha.serving.screen import prepare_streams

FLAME = report.ROOT / "bench" / "results"


def main() -> int:
    """The exit status."""
    prepare_streams()
    if sys.argv[1:2] == ["sockets"]:
        return sockets_run.main(sys.argv[2:])
    args = _arguments()
    if args.command == "page":
        return _page([Path(name) for name in args.results])
    options = Options(
        only=tuple(args.only.split(",")) if args.only else _usual(args.stack),
        seconds=args.seconds,
        buyers=args.buyers or round(40_000 * args.seconds),
        connections=args.connections,
        processes=args.processes,
        publishers=args.publishers,
        consumers=args.consumers,
        stack=args.stack,
    )
    if args.command == "profile":
        to = FLAME / f"flame-{args.role}.svg"
        row = to_its_end(lambda: commands.profile(options, args.role, to))
        sys.stdout.write(f"{report.tables([row])}\n{to}\n")
        return 0
    if args.command == "scale":
        result = to_its_end(lambda: commands.scale(options, (1, 2, 4), (1, 2)))
    else:
        result = to_its_end(lambda: commands.run(options))
    path = report.save(result)
    sys.stdout.write(f"{report.head(result)}\n\n{report.tables(result.rows)}\n{path}\n")
    return int(any(row.errors or row.audit not in ("", "clean") for row in result.rows))


def _page(results: list[Path]) -> int:
    """Put results into docs/benchmarks.md, those of one kind one after another, and draw the charts
    of a scaling."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for path in results:
        if path.name.startswith("sockets"):
            sockets = sockets_rows.load(path)
            texts[sockets.kind].append(f"{report.head(sockets)}\n\n{sockets_rows.tables(sockets)}")
            continue
        result = report.load(path)
        texts[result.kind].append(f"{report.head(result)}\n\n{report.tables(result.rows)}")
        if result.kind == "scale":
            from bench.charts import scale_charts  # matplotlib takes a second and 45 MB

            for name, svg in scale_charts(result).items():
                (report.PAGE.parent / name).write_text(svg, "utf-8")
    for kind, found in texts.items():
        report.put(report.PAGE, kind, "\n" + "\n".join(found) + "\n")
    return 0


def _usual(stack: str) -> tuple[str, ...]:
    return SCENARIOS if stack == "embedded" else FULL


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", allow_abbrev=False)
    parser.add_argument("command", choices=("run", "scale", "profile", "sockets", "page"))
    parser.add_argument("results", nargs="*", help="page: results to put into docs/benchmarks.md")
    parser.add_argument("--only", default="", help=f"some of {','.join({*SCENARIOS, *FULL})}")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the rush")
    parser.add_argument("--buyers", type=int, default=0, help="default: 40,000 a second")
    parser.add_argument("--connections", type=int, default=1_024)
    parser.add_argument("--processes", type=int, default=2, help="of the generator")
    parser.add_argument("--publishers", type=int, default=2)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--stack", default="embedded", choices=STACKS)
    parser.add_argument("--role", default="publisher", help="profile: whose first process")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(guarded(main))
