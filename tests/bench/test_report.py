"""Tables, charts and marked places: what a result says is what the page shows."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench.charts import bar_chart, scale_charts
from bench.measurement import Row
from bench.report import Result, head, load, put, save, tables
from bench.usage import per_purchase, used

from bench import sockets_rows
from miaosha.domain.errors import SettingsError
from miaosha.supervisor.machine.usage import Used


def result(rows: list[Row]) -> Result:
    machine = {"cpu": "X", "cores": 2, "memory_gb": 8, "kernel": "6", "python": "3.11"}
    return Result(
        kind="scale",
        began="2026-01-02T03:04:05+00:00",
        machine=machine,
        commit="abc",
        settings={},
        rows=rows,
    )


@pytest.mark.parametrize("kind", ["run", "sockets"])
@pytest.mark.parametrize("raw", [b"\xff\xfe{\0", '{"kind": "é"}'.encode("latin-1"), b"{}", None])
def test_a_file_that_is_no_result_is_said(tmp_path: Path, kind: str, raw: bytes | None) -> None:
    path = tmp_path / f"{kind}.json"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(SettingsError, match=f"{kind}.json: "):
        (load if kind == "run" else sockets_rows.load)(path)


def test_errors_and_ratios_are_shown() -> None:
    limit = Row(name="limit", mix="nginx", answers_per_s=100_000)
    row = Row(
        name="rush",
        mix="m",
        answers_per_s=25_000,
        errors={"lost": 3},
        statuses={202: 7},
        audit="I1",
    )
    text = tables([limit, row])
    assert "| rush | m | 0 | 25,000 | 0 | 0 | 3 | 0.0 | 0.0 | 0.0 | 0.25 |" in text
    assert "| rush | 202: 7; errors: lost: 3 | I1 | – |" in text


def test_a_result_survives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.RESULTS", tmp_path)
    made = result([Row(name="rush", mix="m", statuses={202: 7})])
    path = save(made)
    assert path.name == "scale-20260102030405.json"
    assert load(path) == made
    assert "commit `abc`: X, 2 cores" in head(made)


def test_only_the_marked_place_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- run -->\nold\n<!-- /run -->\nafter\n")
    put(page, "run", "new\n")
    assert page.read_text() == "before\n<!-- run -->\nnew\n<!-- /run -->\nafter\n"
    with pytest.raises(AssertionError):
        put(page, "elsewhere", "x")


@pytest.fixture(scope="module")
def scaled() -> Result:
    return result(
        [
            Row(
                name="",
                mix="",
                decided_per_s=1_000.0 * publishers + consumers,
                path_us=40.0 + publishers,
                more={"publishers": publishers, "consumers": consumers},
            )
            for publishers in (1, 2, 4)
            for consumers in (1, 2)
        ]
    )


def test_charts_are_svg_with_every_value(scaled: Result) -> None:
    charts = scale_charts(scaled)
    assert len(charts) == 4
    for svg in charts.values():
        assert ElementTree.fromstring(svg).tag.endswith("svg")  # noqa: S314 - ours
    for page in ("", "-dark"):
        throughput = charts[f"benchmarks-throughput{page}.svg"]
        assert all(f">{text}<" in throughput for text in ("1,001", "4,002", "4 publishers"))
        cost = charts[f"benchmarks-cost{page}.svg"]
        assert all(f">{text}<" in cost for text in ("41.0", "44.0", "2 consumers"))
    one = bar_chart("a & b", "u", "{:.0f}", ["only"], {"c": [0.0]}, "light")
    assert "a &amp; b" in one and "nan" not in one


def test_a_chart_that_is_drawn_again_is_the_same_to_the_byte(scaled: Result) -> None:
    assert scale_charts(scaled) == scale_charts(scaled)


def test_a_dark_chart_differs_from_a_light_one_in_colours_alone(scaled: Result) -> None:
    charts = scale_charts(scaled)
    for name in ("benchmarks-throughput", "benchmarks-cost"):
        light, dark = charts[f"{name}.svg"], charts[f"{name}-dark.svg"]
        assert light != dark
        assert "#ffffff" in light and "#ffffff" not in dark
        assert uncoloured(light) == uncoloured(dark)


def uncoloured(svg: str) -> str:
    """Without colours, and without the ids, which are hashes of what has one."""
    return re.sub(r"#?\b[0-9a-f]{6}\b|\b[mp][0-9a-f]{10}\b", "", svg)


def test_processor_time_is_per_purchase() -> None:
    before = {"publisher": Used(1.0, 0), "store": Used(0.0, 0)}
    after = {"publisher": Used(2.0, 5), "store": Used(0.5, 5)}
    assert per_purchase(before, after, 100_000) == {"publisher": 10, "store": 5, "all": 15}


def test_processor_time_of_this_process_rises() -> None:
    before = used({"x-0": os.getpid()})["x"]
    total = 0
    while used({"x-0": os.getpid()})["x"].cpu_s < before.cpu_s + 0.02:
        total += sum(range(10_000))
    assert before.memory > 1_000_000 and total
