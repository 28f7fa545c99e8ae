"""`conclave group invitations`, `accept` and `decline`: groups that others have added this node to."""

from typing import TYPE_CHECKING

import click

from node.cli.context import common, context
from node.cli.output import at_time, print_json, print_table, safe, short

if TYPE_CHECKING:
    from node.api.contact_schema import Invitation


@click.command()
@common
def invitations() -> None:
    """Groups that wait for you to accept.

    Contacts add this node without asking; all others end here (setting group.accept).
    """
    from node.api import contact_operations, schema

    given = context()
    found = given.call(contact_operations.GROUP_INVITATIONS, schema.Nothing())
    if given.is_json:
        print_json(found)
        return
    if not found.invitations:
        click.echo("nothing waits")
        return
    print_table(("ID", "GROUP", "BY", "MEMBERS", "SINCE"), map(row, found.invitations))
    click.echo("enter one: " + given.command("group accept ID"))


@click.command()
@click.argument("invitation", metavar="ID")
@common
def accept(invitation: str) -> None:
    """Enter a group that waits.

    ID is the beginning of an invitation's id, or the group's name.
    """
    from node.api import contact_operations, contact_schema

    given = context()
    request = contact_schema.InvitationRequest(invitation=invitation)
    detail = given.call(contact_operations.GROUP_ACCEPT, request)
    if given.is_json:
        print_json(detail)
        return
    click.echo(safe(f"this node is in {detail.name} (epoch {detail.epoch}, {detail.member_count} members)"))


@click.command()
@click.argument("invitation", metavar="ID")
@common
def decline(invitation: str) -> None:
    """Do not enter it. Its members are told, and remove this node again."""
    from node.api import contact_operations, contact_schema

    given = context()
    request = contact_schema.InvitationRequest(invitation=invitation)
    done = given.call(contact_operations.GROUP_DECLINE, request)
    if given.is_json:
        print_json(done)
        return
    click.echo("declined")


def row(one: "Invitation") -> tuple[object, ...]:
    """An invitation as a row."""
    return (
        one.invitation_id[:8],
        one.name,
        one.adder_name or short(one.adder),
        one.member_count,
        at_time(one.arrived_at),
    )
