"""Suite: runs the tests in parts, three at a time, and ends with the first bad status. It says how
long each part took by the clock and of the processor, and names the ten dearest files.

`make test` calls this; arguments go to pytest. A part is a folder; of e2e, a file that takes long,
or all that do not; and tests that need RabbitMQ, MariaDB or PostgreSQL (the marker `servers`) are
parts of their own. What a part printed is shown when it has ended. Drills are not among them.
Those servers and the pages' browser are installed where that is ours to do; without them, and
outside CI, what needs them goes untested. `--servers`: only the parts with such servers.

`--fast` (`make test-fast`) is what a contributor runs between edits, under two minutes: tidiness,
domain, the model's small scope, use cases on SQLite and private Valkeys, serving, publisher,
sockets, gateway and api. It starts no platform, no server of a package and no browser, and leaves
out the files of `SLOW`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.kit import costs
from tests.kit.costs import Cost

TESTS = Path(__file__).parent
LANES = 3  # on two cores: most of e2e waits
DEAREST = 10  # files named at the end
NOTHING_COLLECTED = 5
FIRST = ("tidy", "domain")  # what fails fast
# then these, so that no lane ends alone
LONGEST = ("servers", "web", "usecases", "contract", "supervisor", "e2e")
APART = "e2e"
LONG = (  # files of e2e that are a part each
    *("test_cli.py", "test_clone.py", "test_faults.py", "test_hanging.py", "test_many_sales.py"),
    *("test_rolling.py", "test_telling.py", "test_terminals.py", "test_up.py"),
    "test_waiting_for.py",
)
FAST = (
    *("tidy", "domain", "kit", "model", "usecases", "serving", "publisher", "sockets", "gateway"),
    "api",
)
SLOW = (  # files of those folders that `--fast` leaves out, and why
    "test_schemathesis.py",  # asks every operation in every way
    "test_crashes.py",  # every act of a sale, dying at every call
    "test_big_sale.py",  # 20,000 units
    "test_clients.py",  # the stock clients, in Node.js
    "test_hidden.py",  # every method in every way to hide a request
)
UNSET = {"PYTHONDONTWRITEBYTECODE"}  # with it, each process would compile all it imports anew
UNTESTED = 2  # of tests.web.chromium and tests.kit.packages
PLAIN = "not drill and not servers"
SERVERS = "servers and not drill"
ONLY_SERVERS = "--servers"
ONLY_FAST = "--fast"


class Part(NamedTuple):
    """What to run: its name, the place in the order it takes, and pytest's arguments."""

    name: str
    kind: str
    arguments: tuple[str, ...]


class Ended(NamedTuple):
    """How a part ended. status: 0 is good; `files`: what each of its files took."""

    line: str
    status: int
    printed: str
    files: Mapping[str, Cost] = MappingProxyType({})
    cpu_s: float = 0.0


def plain_parts() -> Iterator[Part]:
    for path in TESTS.iterdir():
        if path.name == APART:
            for file in LONG:
                yield Part(f"{APART}/{file}", APART, ("-m", PLAIN, str(path / file)))
            others = (str(file) for file in sorted(path.glob("test_*.py")) if file.name not in LONG)
            yield Part(f"{APART}, the others", APART, ("-m", PLAIN, *others))
        elif path.match("test_*.py") or (path.name != "drills" and any(path.glob("test_*.py"))):
            yield Part(path.name, path.name, ("-m", PLAIN, str(path)))


def fast_parts() -> Iterator[Part]:
    left_out = [f"--ignore-glob=*/{name}" for name in SLOW]
    for folder in FAST:
        if (TESTS / folder).exists():
            yield Part(folder, folder, ("-m", PLAIN, *left_out, str(TESTS / folder)))


def server_parts() -> Iterator[Part]:
    """Of the contracts one for each kind of server, elsewhere one for each file that needs any."""
    contract = TESTS / "contract"
    sql = contract / "sql"
    of_kind = {
        "mariadb": (str(sql), "-k", "not postgres"),
        "postgresql": (str(sql), "-k", "postgres"),
        "rabbitmq": (str(contract), f"--ignore={sql}"),
    }
    for kind, arguments in of_kind.items():
        yield Part(f"contract on {kind}", "servers", ("-m", SERVERS, *arguments))
    for file in TESTS.rglob("test_*.py"):
        if contract not in file.parents and "mark.servers" in file.read_text():
            name = f"{file.relative_to(TESTS)} on servers"
            yield Part(name, "servers", ("-m", SERVERS, str(file)))


def in_order(parts: Iterator[Part]) -> list[Part]:
    order = (*FIRST, *LONGEST)

    def place(part: Part) -> tuple[int, str]:
        return (order.index(part.kind) if part.kind in order else len(order), part.name)

    return sorted(parts, key=place)


def _python(*arguments: str, **environ: str) -> tuple[int, str, float]:
    """Its status, what it printed, and the seconds of the processor that it took."""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=TESTS.parent,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if k not in UNSET} | environ,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    return process.returncode, text, used.ru_utime + used.ru_stime


def without(what: str, names: str, status: int, printed: str) -> Ended:
    """Parts that cannot run here."""
    said = "left out" if status == UNTESTED else "FAIL"
    return Ended(f"{said}: no {what} {names}", 0 if status == UNTESTED else status, printed)


def run(part: Part, arguments: list[str]) -> Ended:
    began = time.monotonic()
    if part.kind == "web":
        missing, printed, _ = _python("-m", "tests.web.chromium")
        if missing:
            return without("browser", part.name, missing, printed)
    plugin = ("-p", costs.__name__)
    with tempfile.TemporaryDirectory(prefix="ms-costs-") as place:
        written = Path(place, "costs.json")
        environ = {costs.ENVIRON: str(written)}
        status, printed, cpu_s = _python(
            "-m", "pytest", "-q", *plugin, *part.arguments, *arguments, **environ
        )
        files = costs.read(written)
    good = status in (0, NOTHING_COLLECTED)
    cost = Cost(time.monotonic() - began, cpu_s)
    line = f"{'ok  ' if good else 'FAIL'} {part.name:<34} {said(cost)}"
    return Ended(line, 0 if good else status, printed, files, cpu_s)


def said(cost: Cost) -> str:
    return f"{cost.wall_s:6.1f} s {cost.cpu_s:6.1f} s CPU"


def dearest(ended: list[Ended]) -> Iterator[str]:
    """The files that took longest, over all parts that have tests of theirs."""
    files: dict[str, Cost] = {}
    for part in ended:
        for name, cost in part.files.items():
            files[name] = files[name].more(cost) if name in files else cost
    ranked = sorted(files.items(), key=lambda file: file[1], reverse=True)
    for name, cost in ranked[:DEAREST]:
        yield f"  {name:<39} {said(cost)}"


def _show(part: Ended) -> None:
    sys.stdout.write(f"{part.printed}== {part.line}\n")
    sys.stdout.flush()


def chosen(arguments: list[str], ended: list[Ended]) -> Iterator[Part]:
    """The parts that are to run. Installs the servers first, before two parts could call apt at
    once; without them `ended` says so."""
    if ONLY_FAST in arguments:
        yield from fast_parts()
        return
    if ONLY_SERVERS not in arguments:
        yield from plain_parts()
    missing, printed, _ = _python("-m", "tests.kit.packages")
    if missing:
        ended.append(without("servers", "contract, e2e on servers", missing, printed))
        _show(ended[0])
    else:
        yield from server_parts()


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    ended: list[Ended] = []
    parts = list(chosen(arguments, ended))
    arguments = [word for word in arguments if word not in (ONLY_SERVERS, ONLY_FAST)]
    lanes = ThreadPoolExecutor(LANES)
    try:
        for done in as_completed([lanes.submit(run, p, arguments) for p in in_order(iter(parts))]):
            ended.append(done.result())
            _show(ended[-1])
    finally:
        lanes.shutdown(cancel_futures=True)
    lines = [f"  {part.line}" for part in ended]
    whole = Cost(time.monotonic() - began, sum(part.cpu_s for part in ended))
    slow = ["", f"the {DEAREST} files that took longest", *dearest(ended)]
    sys.stdout.write("\n".join(["", *lines, f"  {'all':<39} {said(whole)}", *slow, ""]) + "\n")
    return next((part.status for part in ended if part.status), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
