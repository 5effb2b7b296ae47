"""Report: results as files and tables, and the marked places of docs/benchmarks.md."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from bench.measurement import PATH, Row
from miaosha.domain.errors import SettingsError

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
Read = TypeVar("Read")


class Kept(Protocol):
    """What every result says of itself."""

    kind: str
    began: str
    machine: dict[str, Any]
    commit: str


class Result(msgspec.Struct, kw_only=True):
    """One run of a command, as kept. `settings`: the options it was called with."""

    kind: str
    began: str
    machine: dict[str, Any]
    commit: str
    settings: dict[str, Any]
    rows: list[Row]


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    info = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"model name\s*: (.*)", info)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit the working tree stands at; `+` if files of the product differ from it."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "-uno", "--", "src", "bench") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout.strip()


def save(result: Kept) -> Path:
    """Write a result under the name of its kind and time."""
    RESULTS.mkdir(exist_ok=True)
    stamp = re.sub(r"[^0-9]", "", result.began)[:14]
    path = RESULTS / f"{result.kind}-{stamp}.json"
    plain = msgspec.to_builtins(result, str_keys=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n")
    return path


def load(path: Path) -> Result:
    """Raises SettingsError: it cannot be read, or is none."""
    return read(path, Result)


def read(path: Path, kind: type[Read]) -> Read:
    """A kept result. Raises SettingsError: it cannot be read, or is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind, strict=False)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: expected a result of a benchmark, JSON in UTF-8 ({error})"
        ) from None


def counted(count: int, name: str) -> str:
    """`1 publisher`, `2 publishers`."""
    return f"{count} {name}{'s' if count != 1 else ''}"


def head(result: Kept) -> str:
    """One paragraph: when, where, on what, with what."""
    on = result.machine
    return (
        f"{result.began[:16].replace('T', ' ')} UTC, commit `{result.commit}`: {on['cpu']}, "
        f"{on['cores']} cores, {on['memory_gb']} GB, Linux {on['kernel']}, Python {on['python']}, "
        "generator included."
    )


def tables(rows: Sequence[Row]) -> str:
    """Speed, cost and findings of the rows, as three Markdown tables."""
    return "\n\n".join([_speed(rows), _cost(rows), _findings(rows)]) + "\n"


def _speed(rows: Sequence[Row]) -> str:
    limit = next((row.answers_per_s for row in rows if row.name == "limit"), 0.0)
    lines = [
        "| scenario | mix | s | answers/s | accepted/s | decided/s | errors | p50 ms | p99 ms "
        "| p99.9 ms | of the limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        ms = row.latency_ms
        ratio = f"{row.answers_per_s / limit:.2f}" if limit else ""
        lines.append(
            f"| {row.name} | {row.mix} | {row.seconds:.0f} | {row.answers_per_s:,.0f} "
            f"| {row.accepted_per_s:,.0f} | {row.decided_per_s:,.0f} | {sum(row.errors.values())} "
            f"| {ms.get('p50', 0):.1f} | {ms.get('p99', 0):.1f} | {ms.get('p99.9', 0):.1f} "
            f"| {ratio} |"
        )
    return "\n".join(lines)


def _cost(rows: Sequence[Row]) -> str:
    """Processor time of an answer (for the limit: nginx's)."""
    lines = [
        "| scenario | path µs | publisher | consumer | store | broker | others | generator "
        "| batch | memory MB | load |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for row in rows:
        cpu = row.cpu_us
        others = cpu.get("all", 0.0) - sum(cpu.get(role, 0.0) for role in PATH)
        each = " | ".join(f"{cpu.get(role, 0.0):.1f}" for role in PATH)
        memory = ", ".join(f"{role} {mb}" for role, mb in row.memory_mb.items())
        lines.append(
            f"| {row.name} | {row.path_us:.1f} | {each} | {others:.1f} | {row.generator_us:.1f} "
            f"| {row.batch_users:.0f} | {memory} | {row.load_average} |"
        )
    return "\n".join(lines)


def _findings(rows: Sequence[Row]) -> str:
    lines = ["| scenario | statuses | audit | more |", "|---|---|---|---|"]
    for row in rows:
        statuses = ", ".join(f"{status}: {n:,}" for status, n in row.statuses.items())
        errors = "; ".join(f"{kind}: {n}" for kind, n in row.errors.items())
        more = "; ".join(f"{name}: {_shown(value)}" for name, value in row.more.items())
        lines.append(
            f"| {row.name} | {statuses}{'; errors: ' + errors if errors else ''} "
            f"| {row.audit or '–'} | {more or '–'} |"
        )
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def put(page: Path, place: str, text: str) -> None:
    """Replace what stands between `<!-- place -->` and `<!-- /place -->` of a page."""
    whole = page.read_text("utf-8")
    marks = re.compile(rf"(<!-- {place} -->\n).*?(<!-- /{place} -->)", re.DOTALL)
    assert marks.search(whole), f"{page} has no place named {place}"
    page.write_text(marks.sub(lambda found: found[1] + text + found[2], whole), "utf-8")
