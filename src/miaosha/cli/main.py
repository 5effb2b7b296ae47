"""The `miaosha` command: one file per noun, gathered here. Nothing heavy is imported for --help."""

import typer

from miaosha.cli import (
    audit,
    db,
    demo,
    doctor,
    edge,
    openapi,
    parked,
    rehearse,
    role,
    roll,
    sale,
    up,
    user,
    version,
)
from miaosha.cli.session import guarded

app = typer.Typer(
    name="miaosha",
    help="Miaosha (秒殺): exactly N units sold at an exact second, whatever crashes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("run")(role.run)
app.command("roll")(roll.roll)
app.add_typer(edge.app, name="edge")
app.add_typer(db.app, name="db")
app.add_typer(user.app, name="user")
app.add_typer(sale.app, name="sale")
app.command("audit")(audit.audit)
app.add_typer(parked.app, name="parked")
app.add_typer(rehearse.app, name="rehearse")
app.command("doctor")(doctor.doctor)
app.command("openapi")(openapi.openapi)
app.command("version")(version.version)


def run() -> None:
    """Entry point of the console script."""
    raise SystemExit(guarded(app))
