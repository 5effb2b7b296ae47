"""Folding: the one form in which texts are compared when a person searches for a name."""

import unicodedata


def folded(text: str) -> str:
    """The text without what does not matter to somebody who searches: its case, whether accents are
    composed, full or half width. An accent itself does matter (Unicode 3.13: NFKC, case folded)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
