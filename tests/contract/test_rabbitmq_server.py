"""A private RabbitMQ leaves no process behind, whatever is asked of it when it does not run."""

from pathlib import Path

import pytest

from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.servers.packaged_server import LOOPBACK, is_free
from miaosha.supervisor.servers.rabbitmq import prepare_rabbitmq

pytestmark = pytest.mark.servers


async def test_a_question_to_one_that_does_not_run_starts_no_epmd(run_dir: Path) -> None:
    server = prepare_rabbitmq(run_dir)
    assert server.environ is not None
    with pytest.raises(DependencyDown):
        await server.ctl("status")
    assert is_free(LOOPBACK, int(server.environ["ERL_EPMD_PORT"]))
