"""The commands of an operator against a running platform, by its data directory alone."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.domain.test_urls import LINKS
from tests.kit.running import MIAOSHA, STOP_S, Up, environ, free_port, miaosha, running
from tests.kit.waits import eventually

PASSWORD = "a long walk before noon 7"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("cli")) as platform:
        yield platform


def run(up: Up, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return miaosha(*arguments, "--data-dir", str(up.data), stdin=stdin)


def good(up: Up, *arguments: str, stdin: str = "") -> str:
    done = run(up, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sale(up: Up) -> int:
    said = good(
        up,
        *("sale", "create", "--title", "Ten lamps", "--price", "4.90 USD", "--stock", "10"),
        *("--opens", "+0", "--closes", "+900", "--ask", "How many? | *ten | none"),
        *("--standby-limit", "7", "--standby-pay-within", "90"),
    )
    assert said.startswith("sale ")
    return int(said.split()[1])


def shown(up: Up, sale: int) -> Any:
    return json.loads(good(up, "sale", "show", str(sale), "--json"))


def test_an_admin_is_created_and_may_sign_in(up: Up) -> None:
    said = good(
        up,
        *("user", "create", "--admin", "--email", "Ada@Example.org", "--name", "Ada"),
        "--password-stdin",
        stdin=PASSWORD + "\n",
    )
    assert said.startswith("admin ")
    body = json.dumps({"email": "ada@example.org", "password": PASSWORD}).encode()
    answer = up.get("/api/v1/sessions", "POST", body)
    assert answer.status == 200 and answer.json()["user"]["role"] == "admin"
    again = run(
        up,
        *("user", "create", "--email", "ada@example.org", "--name", "Ada", "--password-stdin"),
        stdin=PASSWORD + "\n",
    )
    assert again.returncode == 1 and "email_taken" in again.stderr


def test_a_sale_is_listed_shown_and_public(up: Up, sale: int) -> None:
    assert "Ten lamps" in good(up, "sale", "list")
    listed = json.loads(good(up, "sale", "list", "--json"))
    assert [(row["id"], row["phase"]) for row in listed] == [(sale, "open")]
    said = good(up, "sale", "show", str(sale))
    assert "4.90" in said and "How many? | *ten | none" in said
    told = shown(up, sale)
    assert (told["sale"]["phase"], told["reading"]["free"]) == ("open", 10)
    assert (told["sale"]["standby_limit"], told["sale"]["standby_pay_within_s"]) == (7, 90)
    assert up.get(f"/api/v1/sales/{sale}").json()["stock"] == 10


def test_a_sale_is_steered(up: Up, sale: int) -> None:
    assert "paused" in good(up, "sale", "pause", str(sale))
    twice = run(up, "sale", "pause", str(sale))
    assert twice.returncode == 1 and "conflict" in twice.stderr
    assert "open" in good(up, "sale", "resume", str(sale))
    assert "stock 12" in good(up, "sale", "stock", str(sale), "12")
    assert shown(up, sale)["reading"]["free"] == 12
    good(up, "sale", "rebuild", str(sale))
    assert shown(up, sale)["ledger"]["frozen"] is None
    assert good(up, "audit", str(sale)).strip().endswith("audit: clean")
    assert json.loads(good(up, "audit", str(sale), "--json"))["clean"] is True
    assert "closed" in good(up, "sale", "close", str(sale))


def test_nothing_is_parked(up: Up) -> None:
    assert good(up, "parked", "list").strip() == "nothing is parked"
    for name in ("1-1", "mail-1"):
        missing = run(up, "parked", "redrive", name)
        assert missing.returncode == 1 and "not parked" in missing.stderr
    assert good(up, "parked", "redrive", "--mails").strip() == "0 mails are sent again"
    assert run(up, "parked", "redrive").returncode == 2
    assert "0 mails, 0 messages" in good(up, "doctor")


def give_up_on_a_mail(up: Up, sale: int, buyer: int) -> int:
    """As after eight tries; answers its number."""
    database = sqlite3.connect(up.data / "miaosha.sqlite", timeout=30)
    row = database.execute(
        "INSERT INTO outbox (dedupe_key, event, rid, user_id, sale_id, state, attempts, next_at_ms,"
        " reason, created_at_ms) VALUES ('won:a.0', 'won', 'a.0', ?, ?, 'parked', 8, 1,"
        " 'mail server: not now (421)', 1)",
        (buyer, sale),
    )
    database.commit()
    database.close()
    return int(row.lastrowid or 0)


def test_a_mail_given_up_on_is_listed_alarmed_and_sent_again(up: Up, sale: int) -> None:
    said = good(
        up,
        *("user", "create", "--email", "eve@example.org", "--name", "Eve", "--password-stdin"),
        stdin=PASSWORD + "\n",
    )
    name = f"mail-{give_up_on_a_mail(up, sale, int(said.split()[1]))}"
    listed = good(up, "parked", "list")
    assert name in listed and "421" in listed and "example.org" not in listed
    assert "1 mails, 0 messages" in good(up, "doctor")
    assert "back in its queue" in good(up, "parked", "redrive", name)
    again = run(up, "parked", "redrive", name)
    assert again.returncode == 1 and "not parked" in again.stderr

    def sent() -> bool:
        with sqlite3.connect(up.data / "miaosha.sqlite", timeout=30) as database:
            query = "SELECT state FROM outbox WHERE dedupe_key = 'won:a.0'"
            [state] = database.execute(query).fetchone()
        database.close()
        return bool(state == "sent")

    eventually(sent, what="the mail is sent")
    assert good(up, "parked", "list").strip() == "nothing is parked"


def test_the_doctor_finds_everything_well(up: Up) -> None:
    said = good(up, "doctor")
    assert "FAIL" not in said and "refused" not in said
    for words in ("valkey", "nginx", "database: answers", "publisher-0", "scheduler-0"):
        assert words in said
    for words in ("SQLite 3.", "appendfsync", "maxmemory-policy", "fs.file-max", "schema"):
        assert words in said


@pytest.mark.parametrize("command", [["audit"], ["sale", "show"], ["sale", "pause"]])
def test_an_unknown_sale_is_named_in_one_line(up: Up, command: list[str]) -> None:
    done = run(up, *command, "4711")
    assert done.returncode == 1
    assert done.stderr == "miaosha: not_found: There is no sale 4711.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sale", "create", "--title", "x", "--stock", "1", "--opens", "+5"], "--price"),
        (["run", "conductor"], "expected publisher"),
        (["run", "publisher"], "needs --listen"),
        (["run", "mailer", "--listen", "unix:/tmp/x"], "leave out --listen"),
        (["frobnicate"], "frobnicate"),
        (["audit", "0"], "audit"),
    ],
)
def test_bad_usage(arguments: list[str], said: str) -> None:
    done = miaosha(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--price", "cheap"], "(--price)"),
        (["--price", "5 XXX"], "(--price)"),
        (["--closes", "+0"], "(--closes): A sale closes after it opens, within 366 days."),
        (["--opens", "2020-01-01"], "(--closes): This time is past."),
        (["--standby-limit", "1000000000"], "(--standby-limit)"),
        (["--product", "4711"], "(--product)"),
    ],
)
def test_bad_terms_name_the_option(up: Up, wrong: list[str], said: str) -> None:
    terms = ["sale", "create", "--title", "x", "--stock", "1", "--price", "5 USD", "--opens", "+5"]
    done = run(up, *terms, *wrong)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_refused_sale_leaves_no_product(up: Up) -> None:
    terms = ["sale", "create", "--title", "Never [bold]sold", "--stock", "1", "--price", "5 USD"]
    for times in (["--opens", "2020-01-01"], ["--opens", "+60", "--closes", "+0"]):
        assert run(up, *terms, *times).returncode == 2
    made = good(up, *terms, "--opens", "+600", "--draft")
    assert "Which button buys? | *Buy | Cancel" in good(up, "sale", "show", made.split()[1])
    assert "Never [bold]sold" in good(up, "sale", "list")
    shown = json.loads(good(up, "sale", "show", made.split()[1], "--json"))["sale"]
    assert shown["product"]["id"] == 2  # the first is the one of the sale above


@pytest.mark.parametrize("name", ["nothing", "."])
def test_a_directory_without_a_platform_is_said(tmp_path: Path, name: str) -> None:
    done = miaosha("sale", "list", "--data-dir", str(tmp_path / name))
    assert done.returncode == 2
    assert "MIAOSHA_DATA_DIR" in done.stderr and "miaosha up" in done.stderr


def test_the_schema_is_made_by_a_step_of_its_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    for _ in range(2):
        done = miaosha("db", "upgrade", settings={"database_url": url})
        assert (done.returncode, done.stdout.strip()) == (0, "schema is up to date"), done.stderr
    assert (tmp_path / "shop.sqlite").exists()


def test_the_document_of_the_api() -> None:
    document = json.loads(miaosha("openapi").stdout)
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/sales/{sale_id}/purchases" in document["paths"]


def test_version_and_help() -> None:
    assert miaosha("version").stdout.strip()[0].isdigit()
    said = miaosha("--help").stdout
    for command in ("demo", "up", "run", "db", "user", "sale", "audit", "parked", "doctor"):
        assert command in said
    options = miaosha("sale", "create", "--help", outside={"COLUMNS": "200"}).stdout
    assert "Which button buys? | *Buy | Cancel" in options


def test_a_role_runs_by_itself(up: Up, tmp_path: Path) -> None:
    """`run` becomes the role: same process, no command line left in it."""
    state = up.state()
    names = ("database_url", "redis_url", "broker_url")
    settings = {name: str(state[name]) for name in names}
    settings["secret_keys"] = (up.data / "secret.keys").read_text().strip()
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [MIAOSHA, "run", "publisher", "--listen", f"127.0.0.1:{port}", "--instance", "9"],
            env=environ(**settings) | LINKS,
            stderr=log,
            text=True,
        )
    try:
        eventually(lambda: Up(process, port, tmp_path / "d").ready(), what="ready")
        loaded = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"miaosha.publisher" in loaded
        assert (tmp_path / "log").read_text().count("enableServiceLinks: false") == 1
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0


LOGS = """\
import structlog
from miaosha.cli.command import finish

async def work() -> int:
    secret_keys = "geheim"
    try:
        raise RuntimeError("a defect")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    return 0

finish(work)
"""


def test_what_a_command_logs_shows_no_variables() -> None:
    """`up` and `edge run` are commands too, and live for months."""
    done = subprocess.run(
        [sys.executable, "-c", LOGS], capture_output=True, text=True, timeout=60, check=False
    )
    assert "a defect" in done.stderr and '"level":"error"' in done.stderr
    assert "geheim" not in done.stdout + done.stderr
