"""Loads the Lua scripts and runs them by digest, on one node or a cluster.

A script's file is its decision; `prelude.lua` is put after its first line. All scripts of a sale
take the same keys in the same order, which share one hash tag, hence one node.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple, TypeAlias

from redis.exceptions import NoScriptError

from miaosha.adapters.redis.connect import Client
from miaosha.domain.allocation import Refusal

PIPELINE_MAX = 128  # script calls sent in one go

Argument: TypeAlias = str | int | bytes


class Script(NamedTuple):
    text: str
    sha: str


@cache
def load(name: str, *, prelude: bool = True) -> Script:
    """The script `lua/<name>.lua`, read once per process."""
    folder = resources.files("miaosha.adapters.redis") / "lua"
    first, rest = (folder / f"{name}.lua").read_text("utf-8").split("\n", 1)
    shared = (folder / "prelude.lua").read_text("utf-8") if prelude else ""
    text = f"{first}\n{shared}{rest}"
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def sale_keys(sale_id: int) -> tuple[str, str, str, str, str]:
    tag = f"{{sale:{sale_id}}}"
    return f"{tag}:meta", f"{tag}:users", f"{tag}:standby", f"{tag}:ungranted", f"{tag}:batches"


def refusal(answer: Any) -> Refusal | None:
    """A script refuses with a plain string and never answers one otherwise."""
    return Refusal(answer.decode()) if isinstance(answer, bytes) else None


async def run(client: Client, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
    """Run by digest; a server that has forgotten the script (restart, failover) gets its text."""
    try:
        return await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
    except NoScriptError:
        return await client.execute_command("EVAL", script.text, len(keys), *keys, *args)


async def run_many(
    client: Client, script: Script, keys: Sequence[str], calls: Sequence[Sequence[Argument]]
) -> list[Any]:
    """Run the script once per entry of `calls`, in order, PIPELINE_MAX to a round trip.

    Raises the first error of a call after all of its round trip have run; running everything
    again is safe.
    """
    answers: list[Any] = []
    for start in range(0, len(calls), PIPELINE_MAX):
        part = calls[start : start + PIPELINE_MAX]
        # as a plain command: a cluster pipeline refuses only its method of that name, because
        # nobody there would answer NOSCRIPT
        pipe = client.pipeline(transaction=False)
        for args in part:
            pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
        for args, answer in zip(part, await pipe.execute(raise_on_error=False), strict=True):
            if isinstance(answer, NoScriptError):
                answer = await run(client, script, keys, args)
            elif isinstance(answer, Exception):
                raise answer
            answers.append(answer)
    return answers
