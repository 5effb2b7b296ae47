"""Search: whether a column contains what a person typed, in the form of `domain.folding`.

SQLite calls our own function. The others have none for the whole of the form. PostgreSQL lacks the
rarest letters of case folding. MySQL and MariaDB also lack those that are written in two widths.
What is stored exactly as it was typed is found everywhere. Nothing typed is a wildcard.
"""

import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, String, false, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from miaosha.domain import folding

FUNCTION = "miaosha_folded"
_LETTERS = (("ß", "ss"), ("ς", "σ"))  # lower case alone leaves these


class _Folded(FunctionElement[str]):
    name = FUNCTION
    inherit_cache = True
    type = String()


class _Place(FunctionElement[int]):
    """Where the second text begins within the first, from 1; 0: nowhere."""

    name = "place"
    inherit_cache = True


def containing(column: Any, text: str) -> ColumnElement[bool]:
    """The condition that `column` contains `text`."""
    if "\0" in text:  # PostgreSQL knows no such character, and nothing that is stored has it
        return false()
    as_typed = unicodedata.normalize("NFC", text)
    return or_(
        _Place(_Folded(column), folding.folded(text)) > 0,
        _Place(column, as_typed) > 0,
    )


def add_folding(connection: Any) -> None:
    """Teach a new SQLite connection the form."""
    connection.create_function(FUNCTION, 1, folding.folded, deterministic=True)


def _arguments(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Folded, "sqlite")
def _folded_in_sqlite(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"{FUNCTION}({_arguments(element, compiler, **options)})"


@compiles(_Folded, "postgresql")
def _folded_in_postgresql(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    text = f"normalize({_arguments(element, compiler, **options)}, NFKC)"
    return _letters(f'lower({text} COLLATE "und-x-icu")')


@compiles(_Folded)
def _folded_elsewhere(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    return _letters(f"lower({_arguments(element, compiler, **options)})")


def _letters(expression: str) -> str:
    for letter, plain in _LETTERS:
        expression = f"replace({expression}, '{letter}', '{plain}')"
    return expression


@compiles(_Place)
def _place(element: _Place, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({_arguments(element, compiler, **options)})"


@compiles(_Place, "postgresql")
def _place_in_postgresql(element: _Place, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({_arguments(element, compiler, **options)})"
