"""The screen: the one way text leaves a command, for people and for programs.

Text is plain: no markup, no emoji codes, no highlighting, so what people wrote is shown as they
wrote it, and never obeyed (domain/visible.py). JSON passes no formatter at all. What the stream's
encoding cannot say is said with a substitute.
"""

import codecs
import io
import os
import sys
from collections.abc import Iterable
from typing import IO, Any, Final, TextIO

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from miaosha.domain.visible import plain_json, substitute, visible, visible_lines

SUBSTITUTE: Final = "miaosha-substitute"
_STRICT: Final = frozenset({"strict", "surrogateescape"})  # Python's own choices for stdout


class Screen(Console):
    """A terminal or a pipe. `say` a line, `show` a table; nothing of it is read as markup.

    Args:
        stderr: print there instead of stdout.
        file: print there instead of either.
        width: columns; default: the terminal's, or 80.
    """

    def __init__(
        self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None
    ) -> None:
        super().__init__(
            stderr=stderr, file=file, width=width, markup=False, emoji=False, highlight=False
        )

    @property
    def draws(self) -> bool:
        """Whether a picture can be drawn over and over again here."""
        return self.is_terminal and not self.is_dumb_terminal

    def say(self, text: str | Text, style: str = "") -> None:
        """A line of its own (or several), as long as it is: never wrapped by us."""
        self.print(text, style=style or None, soft_wrap=True)

    def show(self, *shown: RenderableType) -> None:
        """Tables and the like, fitted to the width."""
        self.print(*shown)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string on its way to the screen, cells of tables included."""
        return super().render_str(visible_lines(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The last wall: whatever a renderable is made of, its text is only shown."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible_lines(segment.text))


def cell(value: object) -> str:
    """`value` for a table's cell or a line: one line, whatever is in it."""
    return visible(str(value))


def write_json(value: object) -> None:
    """Print `value` as indented JSON on stdout, for programs: the same at every width."""
    write_encoded(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_encoded(raw: bytes) -> None:
    """Print what is JSON already on stdout."""
    out: TextIO | None = sys.stdout
    if out is None:
        return  # somebody closed it
    narrow = not (out.encoding or "utf-8").lower().startswith("utf")
    out.write(plain_json(raw.decode(), ascii_only=narrow).rstrip("\n") + "\n")
    out.flush()


def drop_stdout() -> None:
    """Nobody reads it any more: what is still buffered goes nowhere, without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepare_streams() -> None:
    """Make stdout and stderr of this process take every text: see `substitute`."""
    codecs.register_error(SUBSTITUTE, substitute)
    for stream, errors in ((sys.stdout, _STRICT), (sys.stderr, {*_STRICT, "backslashreplace"})):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in errors:
            stream.reconfigure(errors=SUBSTITUTE)
