"""Words: sentences are short where people read, and a commit's subject fits a line."""

import re

import pytest

from tests.tidy.sentences import sentences, words
from tests.tidy.tree import ROOT, git

WORDS_MAX = 25  # a sentence
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "docs/glossary.md",
    "docs/runbook.md",
    "docs/sockets.md",
    "docs/tutorial.md",
    "examples/README.md",
)
SUBJECT_MAX = 72
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
COMMITS = 50


def long(text: str) -> list[str]:
    return [s for s in sentences(text) if words(s) > WORDS_MAX]


@pytest.mark.parametrize("page", PAGES)
def test_sentences_are_short(page: str) -> None:
    found = long((ROOT / page).read_text())
    said = "\n".join(f"{words(s)} words: {s}" for s in found)
    assert not found, said


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


def test_subjects_of_commits_fit_a_line() -> None:
    """Of as many as a shallow clone has; git and hosts write the merges'."""
    subjects = git("log", f"-{COMMITS}", "--no-merges", "--format=%s").splitlines()
    long = [s for s in subjects if len(s) > SUBJECT_MAX and not s.startswith(("Merge ", "Revert "))]
    assert not long, "\n".join(long)


def imperative(subject: str) -> bool:
    """By its first word's ending alone, as the hook judges it."""
    found = re.search(r"name: subject is an imperative\n +entry: '(.*)'\n", HOOKS)
    assert found
    return not re.search(found[1], subject)


def test_subjects_of_commits_are_imperatives() -> None:
    subjects = git("log", f"-{COMMITS}", "--no-merges", "--format=%s").splitlines()
    others = [s for s in subjects if not imperative(s)]
    assert not others, "\n".join(others)


@pytest.mark.parametrize(
    ("subject", "good"),
    [
        ("Pass a lease on", True),
        ("Bring words into the glossary", True),
        ("Added a lease", False),
        ("Adding a lease", False),
        ("Adds a lease", False),
    ],
)
def test_an_imperative_is_known_by_its_ending(subject: str, good: bool) -> None:
    assert imperative(subject) is good
