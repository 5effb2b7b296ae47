"""URLs and paths: what of them is accepted, in which form it is kept, and a path as a URL.

What could not be reached later is refused here, with the reason. Such are a shop under a path, a
host that is none, a path with a line break, an unknown option.
"""

import ipaddress
import re
from collections.abc import Collection
from pathlib import PurePath
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

HOST_MAX: Final = 253  # characters of a host's name
PORT_MAX: Final = 65_535
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def origin_of(text: str) -> str:
    """`scheme://host[:port]` as browsers send it: lower case, an international name in its ASCII
    form, no default port and no slash at the end.

    Raises:
        ValueError: saying what is wrong with it.
    """
    parts = _split(text)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("without http:// or https:// in front")
    if "@" in parts.netloc:
        raise ValueError("with a user or a password, which pages never send")
    if parts.path not in ("", "/"):
        raise ValueError("with a path: it is a host's root that is served")
    if set("?#") & set(text):
        raise ValueError("with a query or a fragment")
    port = port_of(parts)
    default = port in (None, _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host_of(parts.hostname or '')}{'' if default else f':{port}'}"


def host_of(name: str) -> str:
    """A host's name or address as it goes into a URL. Raises ValueError."""
    if ":" in name:
        return f"[{_address(name)}]"
    if not name.isascii():
        import idna  # many have none: 20 ms of a start

        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"with a host that is none ({error})") from None
    name = name.lower()
    labels = name.split(".")
    if len(name) > HOST_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("with a host that is none")
    return _address(name) if labels[-1].isdigit() else name


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("with an address that is none") from None
    if getattr(address, "scope_id", None):
        raise ValueError("with a zone in an address")
    return str(address)


def port_of(parts: SplitResult) -> int | None:
    """None if there is none. Raises ValueError."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"with a port that is none of 1 to {PORT_MAX}")
    return port


def server_of(url: str) -> SplitResult:
    """The parts of a server's URL.

    Raises:
        ValueError: no host, or no such port; the message holds nothing of the URL.
    """
    parts = _split(url)
    if not parts.hostname:
        raise ValueError("without a host")
    port_of(parts)
    return parts


def options_of(parts: SplitResult, known: Collection[str]) -> dict[str, str]:
    """What stands in the query. Raises ValueError: a fragment, or an option nobody knows."""
    if parts.fragment:
        raise ValueError("with a #, which is %23 in a password")
    found = dict(parse_qsl(parts.query, keep_blank_values=True, separator="&"))
    for name in found:
        if name not in known:
            takes = f"known are {', '.join(sorted(known))}" if known else "there are none"
            raise ValueError(f"with the option {name!r}: {takes}")
    return found


def _split(text: str) -> SplitResult:
    """urlsplit, which drops line breaks silently. Raises ValueError."""
    if _CONTROL.search(text) or text != text.strip():
        raise ValueError("with a blank or a line break around or in it")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("with brackets that are none of an address") from None


def text_fault(text: str) -> str:
    """Why `text` cannot be a setting's; "" if it can."""
    if _CONTROL.search(text):
        return "it has a line break or another control character (secrets of files end with one)"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it is no text in this process's encoding (LC_ALL=C.UTF-8 makes that UTF-8)"
    return ""


def path_fault(path: str) -> str:
    """Why `path` cannot be a file's or a directory's; "" if it can."""
    if not path:
        return "it is empty"
    if path.startswith("~"):
        return "it begins with ~, which only a shell expands"
    return text_fault(path)


def directory_of(url: str) -> str:
    """DIR of `file:DIR`, as it stands there: nothing in it is decoded; `file:///DIR` is the same.

    Raises:
        ValueError: saying what is wrong.
    """
    scheme, _, path = url.partition(":")
    if scheme != "file":
        raise ValueError(f"not {scheme}:")
    if path.startswith("//"):
        if not path.startswith("///"):
            raise ValueError("not on another host")
        path = path.removeprefix("//")
    if fault := path_fault(path):
        raise ValueError(fault)
    return path


def sqlite_url(path: PurePath) -> str:
    """For MIAOSHA_DATABASE_URL. In it `?` would begin a query."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def unix_url(path: PurePath) -> str:
    """For MIAOSHA_REDIS_URL and MIAOSHA_BROKER_URL."""
    return f"unix://{quote(str(path))}"
