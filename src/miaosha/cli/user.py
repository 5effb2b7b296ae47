"""User commands: `miaosha user` lets an operator make accounts."""

import sys
from typing import Annotated

import typer

from miaosha.cli.command import BAD_USAGE, DataDir, errors, finish, opened, screen

app = typer.Typer(help="Accounts.", no_args_is_help=True)


@app.command()
def create(
    email: Annotated[str, typer.Option(prompt=True, help="Address to sign in with.")],
    name: Annotated[str, typer.Option(prompt=True, help="Name to greet with.")],
    admin: Annotated[bool, typer.Option("--admin", help="May manage products and sales.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Create an account; the password is asked for, never an option."""
    if password_stdin:
        password = _first_line()
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        errors.say("miaosha: no terminal to ask for the password: use --password-stdin")
        raise typer.Exit(BAD_USAGE)
    role = "admin" if admin else "buyer"

    async def work() -> None:
        from miaosha.usecases.accounts import Membership

        async with opened(data_dir) as parts:
            members = Membership(parts.accounts, parts.passwords, parts.tokens, parts.clock)
            made = await members.register(email, password, name, role)
            await parts.trail.append(
                parts.clock.now_ms(), "cli", "user.create", f"user:{made.id}", {"role": role}
            )
            screen.say(f"{role} {made.id} created")

    finish(work)


def _first_line() -> str:
    """Of standard input. Raises typer.Exit if it is not text."""
    try:
        line = sys.stdin.readline().rstrip("\n")
        line.encode()  # no half characters, which a C locale lets through
    except UnicodeError:
        errors.say(f"miaosha: standard input: expected text in {sys.stdin.encoding}")
        raise typer.Exit(BAD_USAGE) from None
    return line


@app.callback()
def _user() -> None:
    """Keeps `user` a group though it has one command."""
