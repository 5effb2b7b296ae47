"""nginx paths: quoted for its configuration, and kept from being read as variables or patterns."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@~+\[\]-]+")  # needs no quotes
_VALUE: Final = re.compile(r"<([a-z_]+)>((?:/[a-z./-]*)?)")


def quoted(text: object) -> str:
    """`text` as one word of nginx's configuration, whatever is in it but a line break."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return escaped if _PLAIN.fullmatch(escaped) else f'"{escaped}"'


def filled(
    template: str,
    values: Mapping[str, str],
    literal: Mapping[str, Path],
    searched: Mapping[str, Path],
) -> str:
    """The template with its values for each `<name>`. A path, with what follows it there, becomes
    one word.

    Args:
        values: lines of configuration.
        literal: paths of directives that know no variables.
        searched: paths where nginx looks for variables; the template defines $dollar.
    """

    def fill(found: re.Match[str]) -> str:
        name, rest = found[1], found[2]
        if name in literal:
            return quoted(f"{literal[name]}{rest}")
        if name in searched:
            return quoted(f"{searched[name]}{rest}").replace("$", "${dollar}")
        return values[name] + rest

    return _VALUE.sub(fill, template)


def tls_file(path: Path, link: Path) -> str:
    """`path` as nginx finds it. With a $ in it a link of ours, beside the configuration: nginx
    would take a variable, and read the file as its worker at each handshake."""
    if "$" not in str(path):
        return quoted(path)
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link.name
