"""Command line: gathers the commands, one file per noun. Nothing heavy is imported for --help."""

import sys

import typer
from typer.exceptions import TyperException

from miaosha.cli import (
    audit,
    db,
    demo,
    doctor,
    edge,
    openapi,
    parked,
    rehearse,
    roll,
    run_role,
    sale,
    up,
    user,
    version,
)
from miaosha.cli.command import BAD_USAGE, FAILED, errors, guarded
from miaosha.domain.visible import visible
from miaosha.serving.screen import drop_stdout, prepare_streams

app = typer.Typer(
    name="miaosha",
    help="Miaosha (秒殺): exactly N units sold at an exact second, whatever crashes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("run")(run_role.run)
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
    prepare_streams()
    raise SystemExit(_unreadable(sys.argv[1:]) or guarded(_command))


def _command() -> int:
    """The exit status. A bad command line is one line, and how the command is used."""
    try:
        status = app(standalone_mode=False)
    except TyperException as error:
        if said := error.format_message():  # else its help was printed
            errors.say(f"miaosha: {visible(said)}{_usage(error)}")
        return error.exit_code
    except typer.Abort:
        return FAILED
    except BrokenPipeError:
        drop_stdout()
        return FAILED
    return status if isinstance(status, int) else 0


def _usage(error: TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    return f"\n{context.get_usage()} (see --help)" if context is not None else ""


def _unreadable(words: list[str]) -> int:
    """BAD_USAGE if a word of the command line is not text in this process's encoding."""
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            encoding = sys.getfilesystemencoding()
            errors.say(
                f"miaosha: word {number} of the command line, {visible(word)}: expected text in "
                f"{encoding}, which this terminal's locale names; LC_ALL=C.UTF-8 names UTF-8"
            )
            return BAD_USAGE
    return 0
