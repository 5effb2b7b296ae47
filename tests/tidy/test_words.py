"""Words: sentences are short where people begin to read, the glossary speaks of what there is, and
a commit's subject fits a line.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from miaosha.adapters.sql.tables import metadata
from tests.tidy.sentences import sentences, words
from tests.tidy.tree import ROOT, classes, git, python_files, tree_of

WORDS_MAX = 25  # a sentence
LONG_STILL = {"README.md": 11, "docs/architecture.md": 9}  # sentences; may only become fewer
SUBJECT_MAX = 72
COMMITS = 50

GLOSSARY = ROOT / "docs" / "glossary.md"
ROW = re.compile(r"^\|([^|]*)\|([^|]*)\|([^|]*)\|\s*$")
NAME = re.compile(r"`([^`]+)`")


def long(text: str) -> list[str]:
    return [s for s in sentences(text) if words(s) > WORDS_MAX]


@pytest.mark.parametrize("page", LONG_STILL)
def test_sentences_are_short(page: str) -> None:
    found = long((ROOT / page).read_text())
    said = "\n".join(f"{words(s)} words: {s}" for s in found)
    assert len(found) <= LONG_STILL[page], said
    assert len(found) == LONG_STILL[page], f"only {len(found)} are left: write that down above"


def test_a_sentence_is_found_in_its_markup() -> None:
    text = """# A title. Of two

One [link to (a) page](https://x.example/a.b?c=d) and `code. That is one word`, e.g. so.
"Two." Three!
It goes on
here.

- A point. Another,
  on two lines.
- The next

| A cell. One | two |
|---|---|
| 1.5 s | `a. B` |

```sh
No sentence. At all.
```
<!-- nor. This -->
![nor](this. One)
"""
    assert list(sentences(text)) == [
        "A title.",
        "Of two",
        "One link to (a) page and Code, e.g. so.",
        '"Two.',
        "Three!",
        "It goes on here.",
        "A point.",
        "Another, on two lines.",
        "The next",
        "A cell.",
        "One",
        "two",
        "1.5 s",
        "Code",
    ]
    assert words("one – two, three: a/b `x`") == 5


def known() -> set[str]:
    """Classes, columns, and metrics (which are strings of their own)."""
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    tables = set(metadata.tables)
    strings = {
        node.value
        for path in python_files("src")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {found for found, _ in classes()} | columns | tables | strings


def is_known(said: str, names: set[str]) -> bool:
    """`Class`, `Class.member`, `table.column`, `column` or `metric`."""
    return said in names or (all(part in names for part in said.split(".")[:1]) and "." in said)


def unknown_words(text: str, names: set[str]) -> Iterator[str]:
    """Rows of a table `| word | meaning | where |` whose last cell names nothing that is there."""
    for line in text.splitlines():
        row = ROW.match(line)
        if row is None or row[1].strip().lower() == "word" or not row[2].strip(" :-"):
            continue
        where = NAME.findall(row[3])
        lost = [said for said in where if not is_known(said, names)]
        if lost or not where:
            yield f"{row[1].strip()}: {', '.join(lost) or 'no name'}"


def test_the_glossary_speaks_of_what_there_is() -> None:
    if GLOSSARY.exists():
        lost = list(unknown_words(GLOSSARY.read_text(), known()))
        assert not lost, "\n".join(lost)


def test_a_word_without_a_thing_is_found() -> None:
    table = """| word | meaning | where |
|---|---|---|
| sale | a sale | `Sale`, `sales.id` |
| ghost | nothing | `Nowhere` |
| wish | nothing | |
"""
    names = {"Sale", "sales", "id"}
    assert list(unknown_words(table, names)) == ["ghost: Nowhere", "wish: no name"]
    assert {"Settings", "pay_by_ms", "holds"} <= known()


def test_subjects_of_commits_fit_a_line() -> None:
    """Of as many as a shallow clone has; git and hosts write the merges'."""
    subjects = git("log", f"-{COMMITS}", "--no-merges", "--format=%s").splitlines()
    long = [s for s in subjects if len(s) > SUBJECT_MAX and not s.startswith(("Merge ", "Revert "))]
    assert not long, "\n".join(long)
