"""Process counts: how many processes of each role `up` starts.

Every count has an upper bound. A number that a limit makes senseless is refused once, by name.
"""

import os
import resource
from typing import Final

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings
from miaosha.sockets.admission import SERVER_DESCRIPTORS_KEPT, SERVER_DESCRIPTORS_MIN

SOCKETS_WORTH_A_CORE: Final = 16_000  # a gateway that holds fewer leaves its core to others
PER_CORE_MAX: Final = 8  # processes that share a core because each may hold little
FEW: Final = 16  # so many are borne on any machine
PER_CORE_FULL_MAX: Final = 64  # where each holds what a core is worth; 53 were measured on two
GATEWAYS_MAX: Final = 1_000
PROCESSES_MAX: Final = 256  # of any other role
ENDLESS: Final = 1 << 30  # instead of "no limit"


def descriptors() -> int:
    """How many files a process here may open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return ENDLESS if hard == resource.RLIM_INFINITY else hard


def most(cores: int, *, full: bool) -> int:
    """How many processes make sense for `cores`; `full`: each holds what a core is worth."""
    return cores * PER_CORE_FULL_MAX if full else max(FEW, cores * PER_CORE_MAX)


def gateways(settings: Settings, cores: int, files: int) -> int:
    """How many gateways `settings` call for.

    Each holds `connections_max` sockets at most, and no more than its limit of open files (`files`)
    leaves; and once they are worth it, every core has one. Below SERVER_DESCRIPTORS_MIN none would
    start.

    Raises:
        SettingsError: that would be more than make sense; says which limit makes them so many.
    """
    room = files - SERVER_DESCRIPTORS_KEPT if files >= SERVER_DESCRIPTORS_MIN else 0
    if settings.gateways:
        _refuse_many("gateways", settings.gateways, GATEWAYS_MAX)
        if room < 1:
            raise SettingsError(_too_few_files(files, SERVER_DESCRIPTORS_KEPT + 1))
        return settings.gateways
    sockets = settings.sockets_max
    each = min(settings.connections_max, room)
    limit = min(GATEWAYS_MAX, most(cores, full=each >= SOCKETS_WORTH_A_CORE))
    if each < 1 or each * limit < sockets:
        raise SettingsError(_too_many_gateways(settings, cores, files))
    busy = -(-sockets // SOCKETS_WORTH_A_CORE)
    return max(-(-sockets // each), min(cores, busy, GATEWAYS_MAX))


def _too_many_gateways(settings: Settings, cores: int, files: int) -> str:
    sockets = settings.sockets_max
    each = -(-sockets // min(GATEWAYS_MAX, most(cores, full=False)))
    if each > SOCKETS_WORTH_A_CORE:
        each = max(-(-sockets // min(GATEWAYS_MAX, most(cores, full=True))), SOCKETS_WORTH_A_CORE)
    if settings.connections_max < min(each, files - SERVER_DESCRIPTORS_KEPT):
        return (
            f"MIAOSHA_CONNECTIONS_MAX={settings.connections_max}: too few for "
            f"MIAOSHA_SOCKETS_MAX={sockets} on {cores} core(s): expected at least {each}"
        )
    return _too_few_files(files, each + SERVER_DESCRIPTORS_KEPT, sockets)


def _too_few_files(files: int, wanted: int, sockets: int = 0) -> str:
    wanted = max(wanted, SERVER_DESCRIPTORS_MIN)
    for_what = f" for MIAOSHA_SOCKETS_MAX={sockets}" if sockets else ""
    return (
        f"a process may open {files:,} files, too few{for_what}: raise the limit to {wanted} "
        f"(`ulimit -Hn {wanted}` as root, LimitNOFILE={wanted} in a systemd unit, ulimits in a "
        "compose file) or lower MIAOSHA_SOCKETS_MAX"
    )


def _refuse_many(name: str, value: int, limit: int) -> None:
    if value > limit:
        raise SettingsError(f"MIAOSHA_{name.upper()}={value}: expected at most {limit}")


def counts(settings: Settings) -> dict[str, int]:
    """Processes by role, in the order of their start. Raises SettingsError; see `gateways`."""
    for name in ("consumers", "schedulers", "mailers", "apis", "publishers"):
        _refuse_many(name, getattr(settings, name), PROCESSES_MAX)
    return {
        "consumer": settings.consumers,
        "scheduler": settings.schedulers,
        "mailer": settings.mailers,
        "gateway": gateways(settings, os.cpu_count() or 1, descriptors()),
        "api": settings.apis,
        "publisher": settings.publishers,
    }


def role_names(settings: Settings) -> list[str]:
    return [f"{role}-{i}" for role, count in counts(settings).items() for i in range(count)]


def metrics_ports(settings: Settings) -> dict[str, int]:
    """Role process → loopback port of its /metrics; empty when metrics_port is 0."""
    if not settings.metrics_port:
        return {}
    return {name: settings.metrics_port + i for i, name in enumerate(role_names(settings))}
