"""Mutants: rules of the product, each broken in its own code, and the oracle that must find it.

A mutant is a function whose source has one piece replaced. A piece that is not there any more is an
error: the rule is written differently by now.
"""

import importlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """Attributes:
    where: module of miaosha, and the function in it.
    what: the rule.
    oracles: those that may name it.
    second: another rule holds where this one is broken, so that it may stay hidden.
    shape: what histories it is looked for in; the rest is left to their seeds.
    """

    name: str
    where: str
    old: str
    new: str
    what: str
    oracles: tuple[str, ...]
    second: bool = False
    shape: Mapping[str, Any] = MappingProxyType({})


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """Within, the rule is broken. Raises LookupError if the code does not have it."""
    path, _, name = mutant.where.partition(":")
    module = importlib.import_module(f"miaosha.{path}")
    owner: Any = module
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    whole = owner.__dict__[last]
    source = textwrap.dedent(inspect.getsource(whole))
    if source.count(mutant.old) != 1:
        raise LookupError(f"{mutant.where} has {source.count(mutant.old)} times: {mutant.old}")
    made: dict[str, Any] = {}
    code = compile(source.replace(mutant.old, mutant.new), inspect.getfile(whole), "exec")
    exec(code, module.__dict__, made)  # noqa: S102 (our own source)
    setattr(owner, last, made[last])
    try:
        yield
    finally:
        setattr(owner, last, whole)
