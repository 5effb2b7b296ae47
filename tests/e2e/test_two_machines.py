"""One platform as two sets of roles that share their servers: buyers come through both, one set
is lost in the middle of a sale, and the sale goes on at the other.
"""

from pathlib import Path

import pytest

from tests.drills.machines import machines, shared_servers
from tests.drills.rush import Size, people_for, rush

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]


async def test_a_sale_survives_the_loss_of_one_of_two_machines(run_dir: Path) -> None:
    async with shared_servers(run_dir) as shared, machines(run_dir, shared) as ups:
        size = Size(crowd=200, stock=20, rush_s=3.0, open_for_s=22.0)
        people = await people_for(shared.opened(), size)
        async with rush(run_dir, shared.opened(), ups, size, people) as sale:
            await sale.accepted(40)
            beats = await sale.parts.heartbeats.alive()
            assert len({(beat.role, beat.instance) for beat in beats}) == 2 * 6
            ups[1].lose()
            await sale.judge()

            took_over = [press for press in sale.probe.presses if press.buyer % 2]
            assert took_over[-1].name in ("202", "closed"), took_over[-1]
