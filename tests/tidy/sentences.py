"""Sentences: those of a Markdown text, without its code, links' addresses and tables' rulers."""

import re
from collections.abc import Iterator

FENCE = re.compile(r"^\s*(```|~~~)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
CODE = re.compile(r"`[^`]*`")
TAG = re.compile(r"<[^>]+>")
MARK = re.compile(r"^\s*(?:[-*+]|\d+\.|#{1,6}|>)\s+")
RULER = re.compile(r"^[\s|:-]*$")
END = re.compile(r"""(?<![Ee]\.g)(?<![Ii]\.e)(?<!\bvs)(?<=[.!?…])["”’)*_]*\s+(?=[^a-z\s])""")
WORD = re.compile(r"\w")


def plain(text: str) -> str:
    """Without markup. Code in a line is one word."""
    return TAG.sub("", CODE.sub("Code", LINK.sub(r"\1", IMAGE.sub("", text))))


def blocks(text: str) -> Iterator[str]:
    """Paragraphs, headings, points of lists and facts of tables, each as one line. A cell
    is a list of facts, with semicolons between them."""
    lines: list[str] = []
    fenced = False
    for line in [*COMMENT.sub("", text).splitlines(), ""]:
        if FENCE.match(line):
            fenced = not fenced
        row = line.lstrip().startswith("|")
        if fenced or FENCE.match(line) or not line.strip() or row or MARK.match(line):
            yield " ".join(lines)
            lines = []
        if fenced or FENCE.match(line) or not line.strip():
            continue
        if row:
            yield from ("" if RULER.match(cell) else cell for cell in re.split(r"[|;]", line))
        elif line.lstrip().startswith("#"):
            yield MARK.sub("", line)
        else:
            lines.append(MARK.sub("", line).strip())


def sentences(text: str) -> Iterator[str]:
    for block in blocks(text):
        yield from (s.strip() for s in END.split(plain(block)) if WORD.search(s))


def words(sentence: str) -> int:
    return sum(1 for word in sentence.split() if WORD.search(word))
