"""Charts: what a scaling came to, as SVG for a light page and for a dark one.

The style sheets in bench/style say how a chart looks. A chart has the page's colour behind it, so
that it can be read wherever it is shown.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib import style
from matplotlib.figure import Figure

from bench.measurement import Row
from bench.report import Result, counted

STYLES: Final = Path(__file__).parent / "style"
PAGES: Final = {"light": "", "dark": "-dark"}  # what the name of a chart's file ends with
GROUP_WIDTH: Final = 0.76  # of the room that a group of bars has
BAR_WIDTH: Final = 0.94  # of the room that a bar has


def bar_chart(
    title: str,
    subtitle: str,
    number: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    page: str,
) -> str:
    """A bar of each series in each group, with its value on it.

    number: how a value is written, a format; page: one of PAGES. The same arguments give the same
    text, to the byte.
    """
    sheets = [STYLES / f"{name}.mplstyle" for name in ("chart", page)]
    with style.context(sheets, after_reset=True):
        figure = Figure()
        margin = mpl.rcParams["figure.constrained_layout.w_pad"] / figure.get_figwidth()
        figure.suptitle(title, x=margin, ha="left")
        axes = figure.subplots()
        axes.set_title(subtitle)
        room = GROUP_WIDTH / max(1, len(series))
        for at, (name, values) in enumerate(series.items()):
            shift = (at - (len(series) - 1) / 2) * room
            places = [group + shift for group in range(len(groups))]
            bars = axes.bar(places, values, BAR_WIDTH * room, label=name)
            axes.bar_label(bars, fmt=number, padding=2)
        axes.set_xticks(range(len(groups)), groups)
        axes.yaxis.set_visible(False)
        figure.legend(loc="outside upper right", ncols=len(series))
        return _svg(figure, title)


def _svg(figure: Figure, title: str) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Title": title, "Creator": None, "Date": None})
    lines = drawn.getvalue().decode().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def scale_charts(result: Result) -> dict[str, str]:
    """File name → SVG: throughput, and processor time of the path, by publishers and consumers."""
    rows = {(row.more["publishers"], row.more["consumers"]): row for row in result.rows}
    publishers, consumers = (sorted(set(counts)) for counts in zip(*rows, strict=True))
    groups = [counted(count, "publisher") for count in publishers]

    def series(value: Callable[[Row], float]) -> dict[str, list[float]]:
        return {
            counted(n, "consumer"): [value(rows[count, n]) for count in publishers]
            for n in consumers
        }

    decided, path = series(lambda row: row.decided_per_s), series(lambda row: row.path_us)
    charts = {}
    for page, end in PAGES.items():
        charts[f"benchmarks-throughput{end}.svg"] = bar_chart(
            "Decided purchases per second",
            "on two cores, generator included",
            "{:,.0f}",
            groups,
            decided,
            page,
        )
        charts[f"benchmarks-cost{end}.svg"] = bar_chart(
            "Processor time of a purchase, µs",
            "publishers, consumers and both Valkeys together",
            "{:.1f}",
            groups,
            path,
            page,
        )
    return charts
