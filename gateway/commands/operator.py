"""`lastmile operator`. The people who may decide things."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, in_transaction, place_of

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, help="The people who may decide things.")
Name = Annotated[str, typer.Argument(help='The operator\'s name, as in "wanjiku.k".')]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")]


@app.command("add")
def operator_add(
    name: Name,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Add an operator, who can then decide things here and sign in to /console. The password is shown this once."""
    from gateway.clock import system_clock
    from gateway.operators.accounts import add_operator
    from gateway.operators.passwords import Passwords

    password, ours = _password(from_stdin=password_stdin)
    password_hash = Passwords().hashed(password)
    in_transaction(
        *place_of(config, data),
        lambda connection: add_operator(connection, name=name, password_hash=password_hash, now=system_clock()),
    )
    _show(name, password if ours else None, as_json=as_json)


@app.command("list")
def operator_list(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List everybody, the disabled among them."""
    from gateway.clock import system_clock
    from gateway.operators.accounts import list_operators

    operators = in_transaction(*place_of(config, data), lambda connection: list_operators(connection, now=system_clock()))
    for one in operators:
        if as_json:
            typer.echo(json.dumps(one._asdict(), default=str))
        else:
            state = "active" if one.disabled_at is None else f"disabled since {one.disabled_at:%Y-%m-%d %H:%M} UTC"
            typer.echo(f"{one.name}  {state}")
    if not operators:
        typer.echo("There are no operators; `lastmile operator add NAME` adds one.", err=True)


@app.command("disable")
def operator_disable(name: Name, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Let somebody decide nothing more. Their sign-ins end at once; their name and decisions stay."""
    from gateway.clock import system_clock
    from gateway.operators.accounts import disable_operator

    in_transaction(
        *place_of(config, data),
        lambda connection: disable_operator(connection, name=name, operator=by, reason=reason, now=system_clock()),
    )
    typer.echo(f"{name} is disabled.", err=True)


@app.command("password")
def operator_password(
    name: Name,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Replace an operator's password. Their sign-ins end at once; the new password is shown this once."""
    from gateway.operators.accounts import set_password
    from gateway.operators.passwords import Passwords

    password, ours = _password(from_stdin=password_stdin)
    password_hash = Passwords().hashed(password)
    in_transaction(
        *place_of(config, data), lambda connection: set_password(connection, name=name, password_hash=password_hash)
    )
    _show(name, password if ours else None, as_json=as_json)


def _password(*, from_stdin: bool) -> tuple[str, bool]:
    """The password, and whether it is ours to show."""
    from gateway.operators.passwords import judge, new_password

    if not from_stdin:
        return new_password(), True
    given = sys.stdin.readline().rstrip("\r\n")
    judge(given)
    return given, False


def _show(name: str, password: str | None, *, as_json: bool) -> None:
    shown = {"name": name} if password is None else {"name": name, "password": password}
    typer.echo(json.dumps(shown) if as_json else "\n".join(f"{key:<8}  {value}" for key, value in shown.items()))
    if password is not None:
        typer.echo("The password is not kept here and can't be shown again. Store it now.", err=True)
