"""`conclave token`: who may call the API over HTTP."""

from typing import TYPE_CHECKING, cast

import click

from node.cli.context import common, context
from node.cli.joining import lasting_s
from node.cli.output import at_time, print_json, print_table, safe

if TYPE_CHECKING:
    from node.api.schema import Scope
    from node.api.token_schema import Token


@click.group()
def token() -> None:
    """Tokens for programs that call the API over HTTP (setting api.http)."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "chat", "admin"]),
    default="read",
    show_default=True,
    help="What it is good for: looking; sending messages too; everything.",
)
@click.option("--expires", callback=lasting_s, default=None, help="How long: 30m, 12h, 7d [default: until revoked].")
@common
def create(name: str, scope: str, expires: int | None) -> None:
    """Give out a token; it is shown once.

    NAME says for whom it is. The program sends it as `Authorization: Bearer TOKEN`.
    """
    from node.api import token_operations, token_schema

    given = context()
    request = token_schema.TokenCreateRequest(name=name, scope=cast("Scope", scope), lifetime_s=expires)
    made = given.call(token_operations.TOKEN_CREATE, request)
    if given.is_json:
        print_json(made)
        return
    click.echo(made.text)


@token.command("list")
@common
def list_() -> None:
    """The tokens given out."""
    from node.api import schema, token_operations

    given = context()
    found = given.call(token_operations.TOKEN_LIST, schema.Nothing())
    if given.is_json:
        print_json(found)
        return
    if not found.tokens:
        click.echo("no token is given out; give one: " + given.command("token create NAME"))
        return
    print_table(("ID", "NAME", "SCOPE", "SINCE", "UNTIL"), map(row, found.tokens))


@token.command()
@click.argument("token", metavar="NAME")
@common
def revoke(token: str) -> None:
    """Take a token back. NAME, or the beginning of its id; what it has opened ends now."""
    from node.api import token_operations, token_schema

    given = context()
    gone = given.call(token_operations.TOKEN_REVOKE, token_schema.TokenRequest(token=token))
    if given.is_json:
        print_json(gone)
        return
    click.echo(safe(f"revoked {gone.name}"))


def row(one: "Token") -> tuple[object, ...]:
    """A token as a row."""
    until = "no end" if one.expires_at is None else "expired" if one.is_expired else at_time(one.expires_at)
    return (one.token_id[:8], one.name, one.scope, at_time(one.created_at), until)
