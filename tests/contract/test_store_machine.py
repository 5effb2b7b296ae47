"""Random histories: every store does exactly what domain/allocation.py says, on any server."""

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from miaosha.adapters.redis.connect import connect
from tests.contract.store_machine import StoreMachine
from tests.contract.store_rigs import LabRig, RedisRig


def histories(examples: int, steps: int, *, seeded: bool = True) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=seeded,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def compare(url: str, how: settings) -> None:
    with asyncio.Runner() as runner:
        client = connect(url)
        try:
            run_state_machine_as_test(
                StoreMachine.open_with(runner, RedisRig(client)), settings=how
            )
        finally:
            runner.run(client.aclose())


def test_on_one_node(node_url: str) -> None:
    compare(node_url, histories(100, 40))


def test_on_a_cluster(cluster_url: str) -> None:
    compare(cluster_url, histories(25, 30))


def test_in_the_laboratory() -> None:
    with asyncio.Runner() as runner:
        machine = StoreMachine.open_with(runner, LabRig())
        run_state_machine_as_test(machine, settings=histories(100, 40))


@pytest.mark.drill
@pytest.mark.timeout(1_800)
def test_long_histories(node_url: str) -> None:
    compare(node_url, histories(3_000, 60, seeded=False))
