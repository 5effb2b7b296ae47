"""Settings: `python -m docs.draw.settings` draws docs/settings.md from Settings."""

import ast
import inspect
import re
import sys

from miaosha import settings
from miaosha.settings import PREFIX, SECRET, Settings

HEAD = """# Settings

Drawn from `src/miaosha/settings.py` by `make docs`; do not edit. Every role reads its settings from
the environment; a fresh machine needs none of them. An unknown or bad one stops the start, naming
the key, the value and what was expected.

In URLs a `?`, `%` or `#` of a password, or of the path of a SQLite file or unix socket, is written
`%3F`, `%25` or `%23`; the directory of `file:DIR` is taken as it stands. What a cluster sets for a
Service called miaosha (`MIAOSHA_SERVICE_HOST`, `MIAOSHA_PORT=tcp://…`) is no setting: it is passed
over, with one line of log.
"""


def page() -> str:
    """The page as Markdown."""
    source = inspect.getsource(settings)
    lines = source.splitlines()
    tree = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    defaults = Settings()
    out = [HEAD]
    previous_end = tree.lineno
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        for line in lines[previous_end : node.lineno - 1]:
            if heading := re.match(r"\s+# (.+)", line):
                title = heading[1][0].upper() + heading[1][1:]
                out.append(f"\n## {title}\n\n| setting | default | meaning |\n|---|---|---|")
        previous_end = node.end_lineno or node.lineno
        out.append(_row(node.target.id, getattr(defaults, node.target.id), lines[node.lineno - 1]))
    return "\n".join(out) + "\n"


def _row(name: str, default: object, line: str) -> str:
    comment = re.search(r"#\s*(.+)$", line)
    shown = "(secret)" if name in SECRET else f"`{default}`" if default != "" else ""
    return f"| `{PREFIX}{name.upper()}` | {shown} | {comment[1] if comment else ''} |"


if __name__ == "__main__":
    sys.stdout.buffer.write(page().encode())
