"""Audit command: `miaosha audit SALE` checks whether the invariants I1 to I10 hold now."""

from typing import Annotated

import typer

from miaosha.cli.command import FAILED, DataDir, finish, opened, screen
from miaosha.serving.screen import cell, write_json


def audit(
    sale: Annotated[int, typer.Argument(help="Id of the sale.", min=1)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Check a sale's invariants across the stores; exit code 1 names what is broken."""

    async def work() -> int:
        async with opened(data_dir) as parts:
            verdict = await parts.auditor.audit(sale)
        if json:
            write_json(verdict)
        else:
            for finding in verdict.findings:
                screen.say(cell(f"{finding.invariant}: {finding.detail}"))
            broken = sorted({finding.invariant for finding in verdict.findings})
            screen.say("audit: clean" if verdict.clean else f"audit: broken {', '.join(broken)}")
        return 0 if verdict.clean else FAILED

    finish(work)
