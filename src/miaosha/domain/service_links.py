"""Service links: variables that a cluster sets for a Service called miaosha or miaosha-….

Kubernetes names them after the Service (`MIAOSHA_SERVICE_HOST`, `MIAOSHA_PORT=tcp://10.0.0.1:80`,
`MIAOSHA_API_PORT_80_TCP_ADDR`, …), so they begin as our settings do. They are told from a setting
by their values, which no setting of that name can have.
"""

import re
from collections.abc import Mapping
from typing import Final

_PROTOCOL: Final = r"(TCP|UDP|SCTP)"
_ADDRESS: Final = r"[0-9a-fA-F.:]+|None"
_SHAPES: Final = tuple(
    (re.compile(rf"MIAOSHA_([A-Z0-9_]+_)?{name}"), re.compile(value))
    for name, value in (
        ("SERVICE_HOST", _ADDRESS),
        ("SERVICE_PORT(_[A-Z0-9_]+)?", r"[0-9]{1,5}"),
        (rf"PORT(_[0-9]{{1,5}}_{_PROTOCOL})?", r"(tcp|udp|sctp)://\S+"),
        (rf"PORT_[0-9]{{1,5}}_{_PROTOCOL}_PROTO", r"tcp|udp|sctp"),
        (rf"PORT_[0-9]{{1,5}}_{_PROTOCOL}_PORT", r"[0-9]{1,5}"),
        (rf"PORT_[0-9]{{1,5}}_{_PROTOCOL}_ADDR", _ADDRESS),
    )
)


def is_service_link(name: str, value: str) -> bool:
    """Whether a cluster, and nobody who configures us, has set this variable."""
    return any(names.fullmatch(name) and values.fullmatch(value) for names, values in _SHAPES)


def told(environ: Mapping[str, str]) -> str:
    """One sentence on those of `environ`, which are passed over; "" if there are none."""
    found = [name for name, value in environ.items() if is_service_link(name, value)]
    if not found:
        return ""
    return (
        f"ignored {len(found)} variables such as {min(found, key=len)}, which a cluster sets for a "
        "Service of that name; enableServiceLinks: false in the Pod's spec keeps them out"
    )
