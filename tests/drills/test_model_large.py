"""The allocation protocol in larger sales (docs/model.md): about seven minutes of one core."""

import pytest

from tests.model.checker import check, say
from tests.model.scenarios import large
from tests.model.scope import Scope

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1_800)]


@pytest.mark.parametrize("scope", large(), ids=lambda scope: scope.name)
def test_no_interleaving_breaks_a_promise(scope: Scope, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(scope)
    with capsys.disabled():
        say(found)
    assert not found.violations and not found.truncated, found.story()
