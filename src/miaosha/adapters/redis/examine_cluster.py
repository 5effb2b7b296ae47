"""Cluster examination: what a Redis Cluster is like as a whole, for the doctor.

Nodes that are alike share a row, and those that differ are named. It also says whether a lost
master has a replica to take over.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis import exceptions

from miaosha.domain.findings import Examined, Fitness, judged

SLOTS: Final = "16384"
MASTERS_MIN: Final = 3
NODE_TIMEOUT_MAX_MS: Final = 15_000
SETTINGS: Final = ("cluster-require-full-coverage", "cluster-node-timeout")


class Node:
    """One line of CLUSTER NODES."""

    def __init__(self, address: str, facts: Mapping[str, Any]) -> None:
        flags = str(facts["flags"]).split(",")
        host, _, port = address.rpartition(":")
        self.address = address
        self.place = host, int(port)
        self.id = str(facts["node_id"])
        self.master_id = str(facts["master_id"])
        self.serves = bool(facts["slots"])
        self.replica = "slave" in flags
        self.down = "fail" in flags or "fail?" in flags or "noaddr" in flags


async def cluster_nodes(cluster: Any) -> list[Node]:
    """All that the cluster knows of, those that are down too, as one living node sees it."""
    for node in cluster.get_nodes():
        try:
            lines = await cluster.execute_command("CLUSTER NODES", target_nodes=node)
        except (exceptions.RedisError, OSError):
            continue
        return [Node(address, facts) for address, facts in lines.items()]
    raise exceptions.ConnectionError("no node of the cluster answers")


def merged(part: str, by_node: Mapping[str, Sequence[Examined]]) -> list[Examined]:
    """What all nodes have alike as one row each, by the first node's order; else a row for what
    most have, and one for each that differs."""
    rows: list[Examined] = []
    for what in dict.fromkeys(f.what for found in by_node.values() for f in found):
        said = {
            name: f._replace(part=part)
            for name, found in by_node.items()
            for f in found
            if f.what == what
        }
        usual, having = Counter(said.values()).most_common(1)[0]
        count = f"{having} nodes" if having == len(by_node) else f"{having} of {len(by_node)} nodes"
        rows.append(usual._replace(found=f"{usual.found} ({count})"))
        rows += [f._replace(part=f"{part} {name}") for name, f in said.items() if f != usual]
    return rows


async def examine_whole(
    cluster: Any, part: str, nodes: Sequence[Node], wait_replicas: int
) -> list[Examined]:
    """State, slots, copies and the settings that decide how a lost master is borne."""
    found = [*await _served(cluster, part, nodes), *_copies(part, nodes, wait_replicas)]
    found += [
        Examined(f"{part} {n.address}", "node", "down", Fitness.WARNING, "start it again")
        for n in nodes
        if n.down and (n.serves or n.replica)
    ]
    target = {"target_nodes": next(_alive(cluster, nodes))}
    try:
        settings = await cluster.config_get(*SETTINGS, **target)
    except exceptions.ResponseError:  # some providers forbid CONFIG
        return found
    return found + _bearing(part, {_text(k): _text(v) for k, v in settings.items()})


def _alive(cluster: Any, nodes: Sequence[Node]) -> Iterator[Any]:
    """Masters first."""
    for node in sorted(nodes, key=lambda n: n.replica):
        if not node.down and (reached := cluster.get_node(*node.place)):
            yield reached


async def _served(cluster: Any, part: str, nodes: Sequence[Node]) -> list[Examined]:
    """As the node sees it that sees the least."""
    worst = ("ok", SLOTS)
    for target in _alive(cluster, nodes):
        info = await cluster.execute_command("CLUSTER INFO", target_nodes=target)
        seen = str(info.get("cluster_state")), str(info.get("cluster_slots_ok"))
        if seen != worst:
            worst = seen
            break
    return [
        judged(
            part,
            "cluster",
            f"{worst[0]}, {worst[1]} of {SLOTS} slots served",
            worst == ("ok", SLOTS),
            Fitness.REFUSED,
            "start the masters that are down, or give their slots to others: their sales stand",
        )
    ]


def _copies(part: str, nodes: Sequence[Node], wait_replicas: int) -> list[Examined]:
    masters = [n for n in nodes if n.serves and not n.replica]
    having = Counter(n.master_id for n in nodes if n.replica and not n.down)
    least = min((having[m.id] for m in masters), default=0)
    bare = ", ".join(m.address for m in masters if not having[m.id])
    found = [
        judged(
            part,
            "masters",
            len(masters),
            len(masters) >= MASTERS_MIN,
            Fitness.WARNING,
            "at least 3: fewer cannot agree that one of them has failed",
        ),
        judged(
            part,
            "replicas of a master",
            f"at least {least}" if least else f"none of {bare}",
            least > 0,
            Fitness.WARNING,
            "give each master one: until a lost master without any is back, its sales stand",
        ),
    ]
    return found + waited_for(part, least, wait_replicas)


def waited_for(part: str, replicas: int, wait_replicas: int) -> list[Examined]:
    """Nothing unless decisions wait for replicas."""
    if not wait_replicas:
        return []
    advice = f"lower it, or add replicas: {replicas} cannot be so many, and decisions wait in vain"
    good = wait_replicas <= replicas
    return [judged(part, "redis_wait_replicas", wait_replicas, good, Fitness.WARNING, advice)]


def _bearing(part: str, settings: Mapping[str, str]) -> list[Examined]:
    covering = settings.get("cluster-require-full-coverage", "?")
    timeout = settings.get("cluster-node-timeout", "0")
    return [
        judged(
            part,
            "cluster-require-full-coverage",
            covering,
            covering == "no",
            Fitness.WARNING,
            "set it to no: else slots without a master stop every sale, not only those in them",
        ),
        judged(
            part,
            "cluster-node-timeout",
            f"{timeout} ms",
            int(timeout) <= NODE_TIMEOUT_MAX_MS,
            Fitness.WARNING,
            f"at most {NODE_TIMEOUT_MAX_MS}: for so long a lost master is waited for",
        ),
    ]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
