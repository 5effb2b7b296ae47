"""Scripts: loads the Lua scripts and runs them by digest, on one node or a cluster.

A script's file is its decision; `prelude.lua` is put after its first line. All scripts of a sale
take the same keys in the same order. The keys share one hash tag, hence one node.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple, TypeAlias

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from miaosha.adapters.redis.connect import Client, is_away
from miaosha.adapters.redis.copies import Copies
from miaosha.domain.allocation import Refusal

PIPELINE_MAX = 128  # script calls sent in one go

Argument: TypeAlias = str | int | bytes
Command: TypeAlias = tuple[Argument, ...]


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


async def run_each(
    client: Client, script: Script, keys: Sequence[Sequence[str]], args: Sequence[Argument]
) -> list[Any]:
    """Run the script once for each of `keys`, all of one server, PIPELINE_MAX to a round trip.

    An answer may be an error: of a call whose keys hold what the script cannot read. Raises any
    other error.
    """
    answers: list[Any] = []
    for start in range(0, len(keys), PIPELINE_MAX):
        part = keys[start : start + PIPELINE_MAX]
        pipe = client.pipeline(transaction=False)
        for names in part:
            pipe.execute_command("EVALSHA", script.sha, len(names), *names, *args)
        got = await pipe.execute(raise_on_error=False)
        for names, answer in zip(part, got, strict=True):
            if isinstance(answer, NoScriptError):  # the first that is run leaves it for the others
                answers.append(await _alone(client, script, names, args))
            elif isinstance(answer, Exception) and not _is_its_own(answer):
                raise answer
            else:
                answers.append(answer)
    return answers


async def _alone(
    client: Client, script: Script, keys: Sequence[str], args: Sequence[Argument]
) -> Any:
    try:
        return await run(client, script, keys, args)
    except ResponseError as error:
        if not _is_its_own(error):
            raise
        return error


def _is_its_own(error: Exception) -> bool:
    """It is about what the script found under its keys, not about the server."""
    return isinstance(error, ResponseError) and not is_away(error)


async def run_many(
    client: Client,
    script: Script,
    keys: Sequence[str],
    calls: Sequence[Sequence[Argument]],
    copies: Copies | None = None,
) -> list[Any]:
    """Run the script once per entry of `calls`, in order, PIPELINE_MAX to a round trip.

    Args:
        copies: the replicas that each round trip waits for.

    Raises the first error of a call after all of its round trip have run; running everything
    again is safe.
    """
    answers: list[Any] = []
    for start in range(0, len(calls), PIPELINE_MAX):
        part = [(len(keys), *keys, *args) for args in calls[start : start + PIPELINE_MAX]]
        got = await _sent(client, [("EVALSHA", script.sha, *words) for words in part], keys, copies)
        if forgotten := [i for i, answer in enumerate(got) if isinstance(answer, NoScriptError)]:
            again: list[Command] = [("EVALSHA", script.sha, *part[i]) for i in forgotten]
            again[0] = ("EVAL", script.text, *part[forgotten[0]])  # the server keeps it for others
            for i, answer in zip(forgotten, await _sent(client, again, keys, copies), strict=True):
                got[i] = answer
        for answer in got:
            if isinstance(answer, Exception):
                raise answer
        answers += got
    return answers


async def _sent(
    client: Client, commands: Sequence[Command], keys: Sequence[str], copies: Copies | None
) -> list[Any]:
    """The answer or error of each, in one round trip on one connection."""
    # as plain commands: a cluster's pipeline refuses only its methods of these names, because
    # nobody there would answer NOSCRIPT
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    if copies is None:
        return list(await pipe.execute(raise_on_error=False))
    pipe.execute_command(*copies.command, **await _at_owner(client, keys[0]))
    *answers, reached = await pipe.execute(raise_on_error=False)
    if not any(isinstance(answer, NoScriptError) for answer in answers):  # nothing was written
        copies.saw(reached)
    return answers


async def _at_owner(client: Client, key: str) -> dict[str, Any]:
    """For a command without a key that belongs to those with this one."""
    if not isinstance(client, RedisCluster):
        return {}
    await client.initialize()
    return {"target_nodes": client.get_node_from_key(key)}
