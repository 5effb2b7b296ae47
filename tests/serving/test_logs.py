"""What a log line is: one JSON object, with nothing personal in it, however it got there."""

import os
import subprocess
import sys

import msgspec
import pytest

from miaosha.serving.logs import REDACTED, redact

SCRIPT = """
import logging, structlog
from miaosha.serving import logs
logs.configure("api", "3", "info")
structlog.contextvars.bind_contextvars(request_id="r-1")
structlog.get_logger().info("hold", rid="b.0", state="held", token="eyJ", detail="a\\nb")
logging.getLogger("other").warning("from a library\\r\\nforged")
structlog.get_logger().debug("below the level")
"""


LOST = """
import os, sys, structlog
from miaosha.serving import logs
from miaosha.serving import outlet
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
_, said = outlet.install()
logs.configure("api", "3", "info")
structlog.get_logger().info("nobody", takes="this")
said.drain()
os.dup2(1, 2)
structlog.get_logger().info("heard")
"""


def test_lines_that_nobody_could_take_are_counted_in_a_line() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=True)
    lost, heard = (msgspec.json.decode(line) for line in done.stdout.splitlines())
    assert lost == {
        "event": "log_lines_lost",
        "lines": 1,
        "level": "warning",
        "role": "api",
        "instance": "3",
    }
    assert heard["event"] == "heard"


def test_personal_values_are_replaced_wherever_they_stand() -> None:
    event = {
        "event": "x",
        "rid": "b.0",
        "email": "ada@example.org",
        "body": {"card": "4242", "people": [{"phone": "1", "sale_id": 7}], "pair": ({"to": "a"},)},
    }
    assert redact(None, "", event) == {
        "event": "x",
        "rid": "b.0",
        "email": REDACTED,
        "body": {
            "card": REDACTED,
            "people": [{"phone": REDACTED, "sale_id": 7}],
            "pair": [{"to": REDACTED}],
        },
    }


def test_every_logger_writes_one_json_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    ours, theirs = (msgspec.json.decode(line) for line in lines)
    assert ours.pop("timestamp") and theirs["event"] == "from a library\r\nforged"
    assert ours == {
        "event": "hold",
        "rid": "b.0",
        "state": "held",
        "token": REDACTED,
        "detail": "a\nb",
        "role": "api",
        "instance": "3",
        "request_id": "r-1",
        "level": "info",
    }


SHOWN = """
import structlog
from miaosha.serving import logs
logs.configure("api", "0", "info")
structlog.get_logger().info("kept", title="[red]\\x1b[2J\\x9b2J\\u202ex \\u79d2 \\xe9\\U0001f600")
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_terminal_cannot_obey_a_line_and_every_encoding_has_it(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    line = done.stderr.decode(encoding)
    assert not {"\x1b", "\x9b", "\u202e"} & set(line)
    assert msgspec.json.decode(line)["title"] == "[red]\x1b[2J\x9b2J\u202ex \u79d2 \xe9\U0001f600"
