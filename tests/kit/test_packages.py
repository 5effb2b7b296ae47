"""Installing the tests' servers leaves the machine's own rule about starting services as it was."""

from pathlib import Path

import pytest

from tests.kit.packages import nothing_starts


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"], ids=["no rule", "a rule"])
def test_nothing_is_started_meanwhile_and_the_rule_comes_back(
    tmp_path: Path, before: str | None
) -> None:
    policy = tmp_path / "policy-rc.d"
    if before is not None:
        policy.write_text(before)
    with pytest.raises(RuntimeError), nothing_starts(policy):
        assert "exit 101" in policy.read_text()
        assert policy.stat().st_mode & 0o111
        raise RuntimeError
    found = policy.read_text() if policy.exists() else None
    assert found == before
    assert len(list(tmp_path.iterdir())) == (before is not None)
