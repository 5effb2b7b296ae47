"""What people type and paste is taken for what it means, in the page and here alike."""

import json
import time
from pathlib import Path

import pytest

from miaosha.domain import typed

SHARED = Path(__file__).parents[2] / "web" / "test" / "typed.json"  # with the pages
EXAMPLES = json.loads(SHARED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("what", "text", "meant"),
    [(what, text, meant) for what, pairs in EXAMPLES.items() for text, meant in pairs],
)
def test_what_was_typed_is_what_was_meant(what: str, text: str, meant: str | None) -> None:
    read = getattr(typed, what)(text)
    assert read == meant
    if meant is not None:
        assert getattr(typed, what)(meant) == meant, "what is kept is read as itself"


@pytest.mark.parametrize("what", EXAMPLES)
@pytest.mark.parametrize("sign", [" ", ",", "x", "#", "1", "/", "\ufdfa", "\u0315\u0300", "@", "-"])
def test_nothing_takes_long(what: str, sign: str) -> None:
    """Ten times as much as the API lets in."""
    costs = []
    for _ in range(3):
        began = time.thread_time()
        getattr(typed, what)(sign * 800 + "!")
        costs.append(time.thread_time() - began)
    assert min(costs) < 0.2
