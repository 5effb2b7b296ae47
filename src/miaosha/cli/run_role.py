"""Run command: `miaosha run ROLE` becomes one role, so that its process never holds the CLI."""

import os
import sys
from typing import Annotated

import typer

from miaosha.cli.command import BAD_USAGE, as_account, errors
from miaosha.serving.roles import LISTENING, WORKERS
from miaosha.settings import load


def run(
    role: Annotated[str, typer.Argument(help=", ".join(LISTENING + WORKERS))],
    listen: Annotated[
        str, typer.Option(help="unix:/path or host:port (publisher, gateway, api).")
    ] = "",
    instance: Annotated[
        str, typer.Option(help="[machine.]number, unique in the role.", show_default="HOSTNAME.0")
    ] = "",
    metrics: Annotated[str, typer.Option(help="host:port of /metrics, not public.")] = "",
) -> None:
    """Run one process of a role; it reads MIAOSHA_… settings from the environment."""
    if role not in LISTENING + WORKERS:
        errors.say(f"miaosha: no role {role!r}: expected {', '.join(LISTENING + WORKERS)}")
        raise typer.Exit(BAD_USAGE)
    if (role in LISTENING) != bool(listen):
        wanted = "needs --listen" if role in LISTENING else "listens nowhere: leave out --listen"
        errors.say(f"miaosha: {role} {wanted}")
        raise typer.Exit(BAD_USAGE)
    as_account(load)
    module = [f"miaosha.{role}", "--listen", listen] if listen else ["miaosha.workers", role]
    argv = [sys.executable, "-m", *module]
    if instance:
        argv += ["--instance", instance]
    if metrics:
        argv += ["--metrics", metrics]
    os.execv(sys.executable, argv)  # noqa: S606 - becoming the role is the point
