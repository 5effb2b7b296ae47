"""A machine's limits: read, compared with what is wanted, said with the line that raises them."""

import re
from pathlib import Path

import pytest
from docs.draw.limits import drawn

from miaosha.domain.errors import SettingsError
from miaosha.domain.findings import Fitness
from miaosha.settings import Settings
from miaosha.supervisor.machine import fit
from miaosha.supervisor.machine.capacity import Machine, sources, this_machine
from miaosha.supervisor.machine.demands import free_bytes, of_presses, of_rehearsal, of_settings
from miaosha.supervisor.machine.kernel import UNLIMITED, Kernel
from miaosha.supervisor.machine.machine_limits import LIMITS, Demand
from miaosha.trials.rehearsal import steps as steps
from miaosha.trials.rehearsal.leader import RehearsalOptions, rehearse
from tests.trials.faulty import faulty

GB = 10**9
ROOMY = {
    "proc/self/limits": "Limit  Soft Hard Units\n"
    "Max processes             96365  96365   processes \n"
    "Max open files            1024   20000   files     \n",
    "proc/self/cgroup": "",
    "proc/loadavg": "0.10 0.20 0.30 1/500 4711",
    "proc/meminfo": "MemTotal: 25000000 kB\nMemAvailable: 24000000 kB\n",
    "proc/net/sockstat": "sockets: used 100\nTCP: inuse 60 orphan 0 tw 0 alloc 61 mem 32\n",
    "proc/net/netstat": "TcpExt: ListenOverflows ListenDrops TCPTimeWaitOverflow\nTcpExt: 5 5 0\n",
    "proc/net/softnet_stat": "000f 00000000 00\n000f 00000002 00\n",
    "fs/file-max": "2400000",
    "fs/file-nr": "4000 0 2400000",
    "fs/nr_open": "1048576",
    "kernel/threads-max": "192731",
    "kernel/pid_max": "4194304",
    "net/core/somaxconn": "4096",
    "net/core/netdev_max_backlog": "5000",
    "net/ipv4/ip_local_port_range": "32768\t60999",
    "net/ipv4/ip_local_reserved_ports": "",
    "net/ipv4/tcp_max_syn_backlog": "4096",
    "net/ipv4/tcp_max_tw_buckets": "131072",
    "net/ipv4/tcp_mem": "287901\t383869\t575802",
    "net/ipv4/tcp_syncookies": "0",
    "net/ipv4/tcp_tw_reuse": "2",
    "net/netfilter/nf_conntrack_buckets": "262144",
    "net/netfilter/nf_conntrack_count": "1000",
    "net/netfilter/nf_conntrack_max": "1048576",
    "vm/overcommit_memory": "0",
}


def kernel(root: Path, **changes: str | None) -> Kernel:
    """A machine with room, but for `changes` (`__` for `/`; None: there is no such file)."""
    files = {**ROOMY, **{name.replace("__", "/"): text for name, text in changes.items()}}
    for name, text in files.items():
        path = root / (name if name.startswith(("proc/", "sys/")) else f"proc/sys/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
    return Kernel(root)


def crowd(machine: Machine, sockets: int, storm: int = 0, disk_free: int = 10**12) -> Demand:
    return of_rehearsal(
        machine,
        sockets,
        gateways=machine.gateways(sockets),
        sources=len(sources(sockets)),
        storm=storm,
        disk_free=disk_free,
    )


def test_a_machine_with_room_is_fine(tmp_path: Path) -> None:
    machine = this_machine(kernel(tmp_path))
    assert machine.descriptors == 20_000, "the hard limit: processes raise theirs"
    assert (machine.files, machine.files_used, machine.tracked) == (2_400_000, 4_000, 1_000)
    assert machine.tasks == 96_365 and machine.tcp_pages_used == 32
    demand = crowd(machine, 300_000, 100_000)
    assert fit.check(machine, demand) == []
    good = fit.found(machine, of_settings(machine, Settings(), 10**12))
    assert {finding.verdict for finding in good} == {Fitness.OK}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "proc__self__limits",
            "Max open files  512  1024  files\n",
            "open files of a process: 1,024 for 2,001.*ulimit -Hn 20000 .LimitNOFILE=20000",
        ),
        ("fs__nr_open", "2000", "fs.nr_open: 2,000 for 2,001.*sysctl fs.nr_open=2001"),
        ("fs__file-max", "600000", "fs.file-max: 596,000 for 610,000.*sysctl fs.file-max=614000"),
        (
            "proc__meminfo",
            "MemAvailable: 2000000 kB\n",
            "memory: 2.0 GB for .* GB.*at most --connections [1-9][0-9]*000$",
        ),
        (
            "net__netfilter__nf_conntrack_max",
            "262144",
            "nf_conntrack_max: 1,000 of 262,144 are tracked, 400,000 come.*no answer.*"
            "sysctl net.netfilter.nf_conntrack_max=401000",
        ),
        (
            "net__ipv4__ip_local_port_range",
            "60000 60010",
            "ip_local_port_range: .* for 300,000.*ip_local_port_range='10240 65535'",
        ),
        (
            "net__ipv4__ip_local_reserved_ports",
            "1000-2000,32768-60990,60992",
            "ip_local_port_range: .* for 300,000",
        ),
        ("kernel__threads-max", "600", "processes and threads: 100 for .*threads-max"),
        ("kernel__pid_max", "600", "processes and threads: 100 for .*pid_max"),
    ],
)
def test_what_stops_a_rehearsal_is_said_before_it_starts(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    machine = this_machine(kernel(tmp_path, **{name: value}))
    demand = crowd(machine, 300_000, 100_000)
    with pytest.raises(SettingsError, match=rf"300,000 sockets do not fit this machine:\n.*{said}"):
        fit.check(machine, demand)
    assert len(fit.obstacles(machine, demand)) == 1


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("net__netfilter__nf_conntrack_buckets", "1024", "sysctl .*nf_conntrack_buckets=100000"),
        ("net__core__somaxconn", "128", "sysctl net.core.somaxconn=4096"),
        ("net__ipv4__tcp_max_syn_backlog", "1024", "sysctl net.ipv4.tcp_max_syn_backlog=4096"),
        ("net__ipv4__tcp_mem", "1 2 30000", "sysctl net.ipv4.tcp_mem='37532 37532 37532'"),
        ("net__core__netdev_max_backlog", "1000", "sysctl net.core.netdev_max_backlog=5000"),
        ("net__ipv4__tcp_max_tw_buckets", "8192", "sysctl net.ipv4.tcp_max_tw_buckets=100000"),
    ],
)
def test_what_slows_it_is_said_and_no_more(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    machine = this_machine(kernel(tmp_path, **{name: value}))
    (remark,) = fit.check(machine, crowd(machine, 300_000, 100_000))
    assert re.search(said, remark), remark


def test_ports_are_short_where_those_of_the_past_are_not_taken_again(tmp_path: Path) -> None:
    machine = this_machine(kernel(tmp_path, net__ipv4__tcp_tw_reuse="0"))
    demand = crowd(machine, 50_000, 50_000)._replace(targets=1, sources=2)
    assert "sysctl net.ipv4.tcp_tw_reuse=2" in fit.check(machine, demand)[0]
    assert fit.check(machine, demand._replace(sources=50)) == []


def test_a_disk_that_is_full_is_seen(tmp_path: Path) -> None:
    machine = this_machine(kernel(tmp_path))
    assert "disk: 0.0 GB" in fit.obstacles(machine, crowd(machine, 10, disk_free=1_000_000))[0]
    presses = of_presses(10**7, 5, connections=64, processes=2, disk_free=GB)
    with pytest.raises(SettingsError, match=r"50,000,000 presses .*\n.*disk: 1.0 GB for 12.5 GB"):
        fit.check(machine, presses)
    small = fit.found(machine, of_settings(machine, Settings(log_max_bytes=GB), 3 * GB // 2))
    assert [f.what for f in small if f.verdict is Fitness.WARNING] == ["disk"]
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(free_bytes(tmp_path), rel=0.1)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, UNLIMITED),
        ({"max": "max", "current": "5"}, UNLIMITED),
        ({"max": "3000", "current": "2500", "stat": "anon 1\ninactive_file 400\n"}, 900),
        ({"max": "3000", "current": "9000"}, 0),
    ],
)
def test_a_control_group_s_memory_counts(
    tmp_path: Path, changes: dict[str, str], left: int
) -> None:
    """On every level above the process, and what only caches files is left."""
    files = {f"sys/fs/cgroup/shop/memory.{name}": text for name, text in changes.items()}
    host = kernel(tmp_path, **{"proc/self/cgroup": "0::/shop/one\n", **files})
    assert host.group_left("memory") == left
    machine = this_machine(host)
    assert machine.memory == min(left, 24_000_000 * 1024)


def test_control_groups_of_the_first_version_count(tmp_path: Path) -> None:
    host = kernel(
        tmp_path,
        **{
            "proc/self/cgroup": "8:pids:/\n4:memory:/shop\n0::/\n",
            "sys/fs/cgroup/memory/shop/memory.limit_in_bytes": "3000",
            "sys/fs/cgroup/memory/shop/memory.usage_in_bytes": "1000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            "sys/fs/cgroup/pids/pids.max": "300",
            "sys/fs/cgroup/pids/pids.current": "100",
        },
    )
    assert host.group_left("memory") == 2_000 and host.group_left("pids") == 200
    assert this_machine(host).tasks == 200


def test_a_kernel_that_tracks_nothing_bounds_nothing(tmp_path: Path) -> None:
    names = [name for name in ROOMY if "conntrack" in name]
    machine = this_machine(kernel(tmp_path, **dict.fromkeys(names)))
    assert machine.tracked_max == machine.buckets == UNLIMITED
    told = {f.what: f.found for f in fit.found(machine, of_settings(machine, Settings()))}
    assert told["net.netfilter.nf_conntrack_max"] == "connections are not tracked"


def test_the_doctor_refuses_what_would_stop_the_shop(tmp_path: Path) -> None:
    poor = kernel(tmp_path, net__netfilter__nf_conntrack_max="20000", vm__overcommit_memory="2")
    machine = this_machine(poor)
    told = fit.found(machine, of_settings(machine, Settings(), 10**12))
    bad = {f.what: f for f in told if f.verdict is not Fitness.OK}
    assert bad["net.netfilter.nf_conntrack_max"].verdict is Fitness.REFUSED
    assert bad["net.netfilter.nf_conntrack_max"].advice.endswith("nf_conntrack_max=25000")
    assert bad["vm.overcommit_memory"].advice == "sysctl vm.overcommit_memory=1"
    assert len(bad) == 2


async def test_nothing_is_started_on_a_machine_that_is_too_small(tmp_path: Path) -> None:
    told: list[str] = []
    poor = kernel(tmp_path, net__netfilter__nf_conntrack_max="2000", net__core__somaxconn="9")
    options = RehearsalOptions(connections=1_500, gateways=1)
    with pytest.raises(SettingsError, match="nf_conntrack_max=2500"):
        await rehearse(options, lambda *_: None, told.append, poor)
    assert told == []


async def test_a_ramp_that_stands_still_says_what_it_ran_into_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "RAMP_STANDS_S", 3.0)
    told: list[str] = []
    async with faulty("patient", most=20) as server:
        room = kernel(tmp_path, net__core__somaxconn="4")
        options = RehearsalOptions(
            connections=30, hold_s=600.0, storm=10, url=f"http://127.0.0.1:{server.port}"
        )

        def show(what: str, said: object) -> None:
            if len(server.writers) >= 20:  # meanwhile the table of connections is full
                kernel(tmp_path, net__netfilter__nf_conntrack_count="1048500")

        outcome = await rehearse(options, show, told.append, room)
    assert outcome.unfinished == [
        "connecting: it stands still at 20 of 30 sockets: none was added for 3 s"
    ]
    assert not outcome.clean and outcome.held_s == 0 and outcome.storm_sockets == 0
    assert outcome.ready == 20 and outcome.clients.ready == 20
    assert "somaxconn" in told[0] and told[0] in outcome.notes, "what slows it was said at once"
    assert outcome.notes[-1].startswith(
        "it ran into net.netfilter.nf_conntrack_max (1,048,500 of 1,048,576 are taken): "
        "sysctl net.netfilter.nf_conntrack_max="
    )


@pytest.mark.parametrize(
    ("failures", "drops", "name"),
    [
        ({"connect: EADDRNOTAVAIL": 7}, {}, "net.ipv4.ip_local_port_range (7 × connect: EADDR"),
        ({"connect: EMFILE": 1}, {}, "open files of a process"),
        ({"no answer": 9}, {"ListenOverflows": 12}, "net.core.somaxconn (ListenOverflows rose by"),
        ({"no answer": 9}, {"conntrack drop": 12}, "net.netfilter.nf_conntrack_max (conntrack"),
        ({}, {"packets dropped": 12}, "net.core.netdev_max_backlog"),
    ],
)
def test_what_clients_and_the_kernel_say_names_the_limit(
    tmp_path: Path, failures: dict[str, int], drops: dict[str, int], name: str
) -> None:
    before = this_machine(kernel(tmp_path))
    demand = crowd(before, 300_000)
    now = before._replace(drops={**before.drops, **drops})
    (reason,) = fit.ran_into(before, now, demand, failures)
    assert reason.startswith(name)
    assert not fit.ran_into(before, before, demand, {"http 503": 3})


def test_a_ramp_that_took_all_the_memory_is_told_so(tmp_path: Path) -> None:
    before = this_machine(kernel(tmp_path))
    now = this_machine(kernel(tmp_path, proc__meminfo="MemAvailable: 1000 kB\n"))
    (reason,) = fit.ran_into(before, now, crowd(before, 300_000), {"no answer": 3})
    assert reason.startswith("memory (1,024,000 are left): at most --connections")


def test_this_machine_is_read() -> None:
    machine = this_machine()
    assert machine.descriptors > 0 and machine.memory > 0 and machine.files > machine.files_used
    assert machine.ports[0] < machine.ports[1] and machine.tasks > 0 and machine.backlog > 0


def test_the_page_shows_the_table_and_names_no_other_line() -> None:
    page = Path(__file__).parents[2] / "docs" / "sockets.md"
    text = page.read_text()
    assert drawn(text) == text, "docs/sockets.md is stale: make docs"
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
    before, _, rest = text.partition("<!-- limits")
    outside = before + rest.partition("<!-- /limits")[2]
    assert "sysctl net." not in outside and "sysctl fs." not in outside
