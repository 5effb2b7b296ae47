"""How many processes there are: whatever the limits and the cores, a number that makes sense, or
one refusal that names the limit and a value of it that is enough.
"""

import re
import resource
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from miaosha.cli import doctor
from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings
from miaosha.sockets.admission import SERVER_DESCRIPTORS_KEPT, SERVER_DESCRIPTORS_MIN
from miaosha.supervisor.edge import nginx_config
from miaosha.supervisor.machine import fit
from miaosha.supervisor.machine.capacity import Machine
from miaosha.supervisor.machine.demands import of_rehearsal
from miaosha.supervisor.process_counts import (
    GATEWAYS_MAX,
    PER_CORE_FULL_MAX,
    PROCESSES_MAX,
    counts,
    gateways,
)
from tests.kit.running import MIAOSHA, environ, free_port

FILES = st.integers(1, 1_000_000)
CORES = st.integers(1, 256)
SOCKETS = st.integers(1, 2_000_000)
HERE = Machine(20_000, 10**7, (10_240, 65_535), 10**12, 4_096, 2)


@given(FILES, CORES, SOCKETS, st.integers(1, 100_000))
@example(384, 2, 16_000, 16_000)
@example(400, 2, 20, 16_000)
@example(512, 2, 16_000, 16_000)
@example(1_024, 2, 16_000, 16_000)
@example(20_000, 2, 1_000_000, 16_000)
@example(1_000_000, 2, 1_000_000, 10)
def test_gateways_hold_what_they_shall_and_are_no_more_than_the_cores_carry(
    files: int, cores: int, sockets: int, connections_max: int
) -> None:
    settings = Settings(sockets_max=sockets, connections_max=connections_max)
    try:
        count = gateways(settings, cores, files)
    except SettingsError as refusal:
        said = str(refusal)
        if enough := re.search(r"raise the limit to (\d+)", said):
            assert int(enough[1]) > files and f"LimitNOFILE={enough[1]}" in said
            assert int(enough[1]) >= SERVER_DESCRIPTORS_MIN
            enough_files = int(enough[1])
        else:
            enough_files = files
            enough = re.search(r"CONNECTIONS_MAX=\d+.*at least (\d+)", said)
            assert enough and int(enough[1]) > connections_max
            connections_max = int(enough[1])
        better = Settings(sockets_max=sockets, connections_max=max(connections_max, 16_000))
        gateways(better, cores, max(enough_files, 16_384))
        return
    assert 1 <= count <= min(GATEWAYS_MAX, cores * PER_CORE_FULL_MAX)
    assert files >= SERVER_DESCRIPTORS_MIN  # a gateway refuses to start with less
    assert count * min(connections_max, files - SERVER_DESCRIPTORS_KEPT) >= sockets
    if count > max(16, 8 * cores):  # then each is worth its place
        assert min(connections_max, files - SERVER_DESCRIPTORS_KEPT) >= 16_000


@pytest.mark.parametrize("number", [0, 3])
def test_no_gateway_is_planned_that_would_refuse_to_start(number: int) -> None:
    few = Settings(sockets_max=20, gateways=number)
    with pytest.raises(SettingsError, match=f"raise the limit to {SERVER_DESCRIPTORS_MIN} "):
        gateways(few, 2, SERVER_DESCRIPTORS_MIN - 1)
    assert gateways(few, 2, SERVER_DESCRIPTORS_MIN) == (number or 1)


@given(FILES, CORES, SOCKETS)
@example(200, 2, 16_000)
@example(1_024, 2, 16_000)
def test_workers_of_the_edge_are_no_more_than_the_cores_carry(
    files: int, cores: int, sockets: int
) -> None:
    try:
        count = nginx_config.workers(sockets, cores, files)
    except SettingsError as refusal:
        enough = re.search(r"raise the limit to (\d+)", str(refusal))
        if enough is None:
            assert sockets > 1_500_000 * cores and "lower it" in str(refusal)
            return
        assert int(enough[1]) > files
        nginx_config.workers(sockets, cores, int(enough[1]))
        return
    assert 1 <= count <= cores * PER_CORE_FULL_MAX


@given(FILES, CORES, st.integers(1, 2_000_000))
def test_a_rehearsal_has_no_more_processes_than_the_cores_carry(
    files: int, cores: int, sockets: int
) -> None:
    here = HERE._replace(descriptors=files, cores=cores)
    gateways, crews = here.gateways(sockets), -(-sockets // here.per_process)
    demand = of_rehearsal(
        here, sockets, gateways=gateways, sources=1_000, storm=0, disk_free=10**12
    )
    if not fit.obstacles(here, demand):
        assert gateways + crews <= cores * PER_CORE_FULL_MAX


@pytest.mark.parametrize("name", ["consumers", "schedulers", "mailers", "apis", "publishers"])
def test_no_role_has_thousands_of_processes_by_a_slip_of_the_keyboard(name: str) -> None:
    with pytest.raises(SettingsError, match=f"MIAOSHA_{name.upper()}=1000: expected at most"):
        counts(Settings(**{name: 1_000}))  # type: ignore[arg-type]
    assert counts(Settings(**{name: PROCESSES_MAX}))  # type: ignore[arg-type]


def test_the_doctor_says_which_limit_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "this_machine", lambda: HERE._replace(descriptors=512))
    [finding] = doctor._limits(Settings())
    assert finding.verdict == "refused" and "raise the limit to" in finding.advice


def test_a_limit_that_is_too_low_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [MIAOSHA, "up", "--port", str(free_port()), "--data-dir", str(tmp_path / "data")],
        env=environ(sockets_max="1000000"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (384, 384)),
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "384 files" in line and "MIAOSHA_SOCKETS_MAX=1000000" in line and "ulimit -Hn" in line
    assert not (tmp_path / "data").exists()
