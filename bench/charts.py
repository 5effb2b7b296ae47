"""Charts as SVG, drawn by hand: lines over a few named points, with values written beside them."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 720, 360, 70, 56, 48, 150
COLOURS: Final = ("#0b6e99", "#c4501b", "#3f7d20", "#7b3fa0", "#a8841a", "#555555")
STEPS: Final = (1, 2, 2.5, 5, 10)


def line_chart(
    title: str, unit: str, points: Sequence[str], series: Mapping[str, Sequence[float]]
) -> str:
    """One line a series; `points` name the places on the horizontal axis."""
    highest = _ceiling(max((max(values) for values in series.values()), default=1.0))
    parts = [_frame(title, unit), *_grid(highest), *_names(points)]
    labels = _apart([(_y(values[-1], highest), name) for name, values in series.items()])
    for (name, values), colour in zip(series.items(), COLOURS, strict=False):
        places = [(_x(i, len(points)), _y(v, highest)) for i, v in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        for (x, y), value in zip(places, values, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle" fill="{colour}">'
                f"{value:,.5g}</text>"
            )
        parts.append(
            f'<text x="{WIDTH - RIGHT + 24}" y="{labels[name]:.1f}" fill="{colour}"'
            f' font-weight="600">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _frame(title: str, unit: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="12">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="600">{escape(title)}</text>\n'
        f'<text x="{LEFT}" y="42" fill="#666666">{escape(unit)}</text>'
    )


def _grid(highest: float) -> list[str]:
    lines = []
    for i in range(6):
        value = highest * i / 5
        y = _y(value, highest)
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        )
        lines.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#666666">'
            f"{value:,.5g}</text>"
        )
    return lines


def _names(points: Sequence[str]) -> list[str]:
    return [
        f'<text x="{_x(i, len(points)):.1f}" y="{HEIGHT - 20}" text-anchor="middle">'
        f"{escape(name)}</text>"
        for i, name in enumerate(points)
    ]


def _x(index: int, count: int) -> float:
    return LEFT + 30 + (WIDTH - RIGHT - LEFT - 60) * (index / max(1, count - 1))


def _y(value: float, highest: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP - 10) * value / highest


def _ceiling(value: float) -> float:
    """A round number that is not below `value`."""
    size = 1.0
    while size * 10 <= value:
        size *= 10
    return next((size * step for step in STEPS if size * step >= value), size * 10)


def _apart(labels: Sequence[tuple[float, str]]) -> dict[str, float]:
    """Heights for the names, at least a line apart."""
    found: dict[str, float] = {}
    last = 0.0
    for y, name in sorted(labels):
        last = max(y + 4, last + 16)
        found[name] = last
    return found
