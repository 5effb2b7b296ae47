"""The allocation protocol, in every interleaving of small sales (docs/model.md).

Prints the states visited per scope. A violation is a flaw in the protocol: its trace is printed.
"""

import functools
import time

import pytest

from tests.model import redis_steps
from tests.model.checker import LIVELOCK, Found, check, say
from tests.model.mirror import Mirror
from tests.model.scenarios import DEFENCE, NEEDED, PAYS, TWO, mirrored, small
from tests.model.scope import Rules, Scope

CPU_MAX_S = 60.0
CLOCK_MAX_S = 600.0  # a busy machine gives a test a part of a core


@functools.cache
def clean(scope: Scope) -> Found:
    """What the scope comes to with every rule on; several rules share one scope."""
    return check(scope)


@pytest.mark.timeout(CLOCK_MAX_S)
def test_no_interleaving_of_a_small_sale_breaks_a_promise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.process_time()
    states = 0
    stories = []
    with capsys.disabled():
        print()
        for scope in small():
            found = check(scope)
            states += found.states
            say(found)
            if found.violations or found.truncated:
                stories.append(found.story())
        spent = time.process_time() - began
        print(f"{'all small scopes':<34} {states:>9,} states {spent:>50.1f} s")
    assert not stories, "\n".join(stories)
    assert states > 1_000_000
    assert spent < CPU_MAX_S


@pytest.mark.parametrize("rule", NEEDED)
def test_a_rule_that_is_left_out_breaks_a_promise(rule: str) -> None:
    scope, promise = NEEDED[rule]
    assert not clean(scope).violations
    found = check(scope.without(rule), violations_max=3)
    assert any(what.startswith(promise) for what in found.violations), found.story()


@pytest.mark.parametrize("rule", DEFENCE)
def test_a_second_line_of_defence_is_not_needed_while_the_first_holds(rule: str) -> None:
    assert not check(DEFENCE[rule].without(rule)).violations


def test_every_rule_is_either_shown_to_be_needed_or_called_a_defence() -> None:
    assert {*NEEDED, *DEFENCE} == {*Rules._fields}


def test_a_protocol_that_waits_for_ever_is_found() -> None:
    """Without what finishes a crashed checkout's hold nothing moves on, and that is a violation."""
    scope = Scope("no resume", TWO, pause=1)
    assert not check(scope).violations
    found = check(PAYS.without("finish_unsynced"))
    assert any(LIVELOCK in what or "for ever" in what for what in found.violations), found.story()


def test_a_trace_is_played_back_from_the_start_to_the_violation() -> None:
    scope, promise = NEEDED["read_back"]
    found = check(scope.without("read_back"))
    trace = found.violations["told held without a live hold"]
    assert trace[0] == "consumer 0 decide h"
    assert "sweep 0" in trace[-2] or "sweep 0" in " ".join(trace)
    assert trace[-1].endswith("grant and tell 0")
    assert promise in found.story()


@pytest.mark.parametrize("scope", mirrored(), ids=lambda scope: scope.name)
def test_the_model_takes_the_steps_of_the_specification(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror(scope)
    for name, function in mirror.functions().items():
        monkeypatch.setattr(redis_steps, name, function)
    found = check(scope)
    assert not found.violations, found.story()
    assert mirror.calls["decide"] > 100
    if scope.lossy:
        assert mirror.calls["merge_places"] and mirror.calls["finish_rebuild"]
