"""Demo command: `miaosha demo` runs a whole sale on this machine, live in the terminal."""

from typing import Annotated

import typer

from miaosha.cli.command import as_account, finish
from miaosha.serving import outlet
from miaosha.settings import load
from miaosha.supervisor.servers.full_stack import Stack
from miaosha.trials.demo import Demo, run_demo

OnStack = Annotated[
    Stack,
    typer.Option(
        help="full: a private RabbitMQ, a Valkey cluster, MariaDB and a replica; needs the "
        "packages rabbitmq-server and mariadb-server."
    ),
]


def demo(
    crowd: Annotated[
        int, typer.Option(min=0, max=50_000, help="Synthetic buyers; 0: the sale is yours alone.")
    ] = 500,
    stock: Annotated[int, typer.Option(min=1, max=1_000_000, help="Units on sale.")] = 50,
    opens_in: Annotated[
        float, typer.Option(min=0, max=86_400, help="Seconds from ready to opening.")
    ] = 20,
    pay_within: Annotated[
        int, typer.Option(min=1, max=604_800, help="Seconds a winner has to pay.")
    ] = 15,
    exit_when_settled: Annotated[
        bool,
        typer.Option("--exit-when-settled", help="End with a report once the sale is settled."),
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of the edge.", show_default="8000")] = None,
    seed: Annotated[int, typer.Option(help="Of the crowd's randomness.")] = 1,
    stack: OnStack = Stack.EMBEDDED,
) -> None:
    """Run a sample sale with a synthetic crowd on a fresh temporary data directory."""
    wanted = Demo(
        crowd=crowd,
        stock=stock,
        opens_in_s=opens_in,
        pay_within_s=pay_within,
        exit_when_settled=exit_when_settled,
        port=port,
        seed=seed,
        stack=stack,
    )
    as_account(load)
    outlet.install()
    finish(lambda: run_demo(wanted))
