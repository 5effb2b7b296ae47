"""A large sale, of a size that a test has time for: what the drill does with a million units, with
the same code and bounds in proportion. Measured in a process of its own.
"""

from pathlib import Path

from tests.drills.big_stage import Stage, large_stage

UNITS = 20_000
HISTORY = 20_000  # units of a sale that was settled long ago
CPU_S = 4.0  # 60 s of a million units are 1.2 s; the rest is for what does not grow, and a slow day
MEMORY_MB = 60.0
SLICE_MS = 20.0
PATIENCE_S = 120.0


async def measured(stage: Stage, work: str, came_to: str) -> None:
    cost = await stage.measure(work, PATIENCE_S)
    assert cost.came_to.startswith(came_to), cost
    assert cost.cpu_s < CPU_S, cost
    assert cost.over_base_mb < MEMORY_MB, cost
    assert cost.longest_ms < SLICE_MS, cost


async def test_a_large_sale_is_audited_rebuilt_and_settles_within_bounds(
    tmp_path: Path, run_dir: Path
) -> None:
    async with large_stage(tmp_path, run_dir) as stage:
        await stage.load(HISTORY, sale_id=3, phase="settled")
        await stage.load(UNITS)
        await measured(stage, "audit", '{"sale_id":7,"clean":true')
        await measured(stage, "rebuild", "True")
        await stage.lose_store()
        await measured(stage, "rebuild", "True")
        await stage.acknowledge()
        await measured(stage, "settle", "settled")
