"""Options: the query of a server's URL: only known options, and only files that exist.

A driver meets the others when it connects, long after the start. It crashes, or its server seems to
be away for ever.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult

from miaosha.domain.urls import options_of

Options = Mapping[str, bool]  # by name: whether its value is a file


def checked_options(parts: SplitResult, known: Options) -> dict[str, str]:
    """What stands in the query of a URL. Looks at the file system.

    Raises:
        ValueError: saying what is wrong; it may name a file and never a secret.
    """
    found = options_of(parts, known)
    for name, value in found.items():
        if known[name]:
            try:
                Path(value).open("rb").close()
            except OSError as error:
                raise ValueError(f"with {name}={value} ({error.strerror})") from None
    return found
