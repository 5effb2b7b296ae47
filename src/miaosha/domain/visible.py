"""Visible text: what people wrote, in a form that a terminal, a log or a pipe can only show.

A title may hold characters that a terminal obeys (ESC, C1 controls), or that turn a line around
(bidirectional overrides). Others nobody sees, or they forge a second line. All are escaped here.
"""

import re
import unicodedata
from typing import Final

# Unicode's Cc, Cf, Cs, Zl and Zp, but for the signs among them that are seen and the two joiners
# that words and emoji are written with.
_UNSAFE: Final = (
    "\\x00-\\x1f\\x7f-\\x9f\\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\\ud800-\\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
)
_ANY: Final = re.compile(f"[{_UNSAFE}]")
_BUT_LINES: Final = re.compile(f"(?![\t\n])[{_UNSAFE}]")
_JSON_WIDE: Final = re.compile(f"(?!\n)[{_UNSAFE}]")
_JSON_ASCII: Final = re.compile(r"[^\n -~]")
_NAMED: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SIGNS: Final = {  # what a narrow encoding lacks, of what we print ourselves
    "…": ".",
    "–": "-",
    "→": ">",
    "×": "x",
    "✗": "x",
    "●": "*",
    "█": "#",
    "░": ".",
    "µ": "u",
}
_WIDE: Final = frozenset("WF")  # East Asian widths of two columns


def visible(text: str) -> str:
    """`text` as one line: what is not plainly seen becomes its escape, such as `\\x1b`."""
    return _ANY.sub(_escape, text)


def visible_lines(text: str) -> str:
    """The same, with its line breaks and tabs left as they are."""
    return _BUT_LINES.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char, code = found[0], ord(found[0])
    if char in _NAMED:
        return _NAMED[char]
    return f"\\x{code:02x}" if code < 0x100 else _unicode(code)


def _unicode(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain_json(raw: str, *, ascii_only: bool = False) -> str:
    """The same JSON value without a character that a terminal obeys.

    Args:
        raw: JSON, compact or indented with spaces and line breaks.
        ascii_only: escape everything else beyond ASCII too, for a stream that is not UTF-8.
    """
    return (_JSON_ASCII if ascii_only else _JSON_WIDE).sub(_json_escape, raw)


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def substitute(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: what stands for characters that a stream's encoding lacks. Takes
    as many columns as they do, so that tables stay straight."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SIGNS.get(char) or "?" * _columns(char) for char in lacking), error.end


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1
