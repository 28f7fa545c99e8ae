"""`conclave group invite`, `join`, `requests`, `approve` and their kin: into a group by a link."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node.cli.contact import pasted
from node.cli.context import common, context
from node.cli.exits import Exit, Failure
from node.cli.group_output import change, finish
from node.cli.output import at_time, print_failure, print_json, print_table, safe, short

if TYPE_CHECKING:
    from node.api.contact_schema import Invite, Joiner, JoinResult

UNITS: Final = {"m": 60, "h": 3600, "d": 24 * 3600}
_DURATION: Final = re.compile(r"(\d{1,6})([mhd])")


def lasting_s(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """`30m`, `12h` or `7d` as seconds, within the bounds of the API; None stays None."""
    if value is None:
        return None
    from node.api.contact_schema import LIFETIME_S_MAX

    found = _DURATION.fullmatch(value)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 60 <= seconds <= LIFETIME_S_MAX:
        raise click.BadParameter(f"{value!r} is not like 30m, 12h or 7d (at most a year)")
    return seconds


@click.command()
@click.argument("group")
@click.option("--uses", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many it lets in.")
@click.option("--expires", callback=lasting_s, default="7d", show_default=True, help="How long: 30m, 12h, 7d.")
@click.option("--auto", is_flag=True, help="Whoever has the link is let in without asking you.")
@click.option("--qr", is_flag=True, help="Draw it as a QR code too (a terminal of 100 columns).")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write the QR code to this file, as SVG.")
@common
def invite(group: str, uses: int, expires: int, auto: bool, qr: bool, svg: Path | None) -> None:
    """Make a link into GROUP.

    Send it to whom you want in; there `conclave group join LINK` asks this node. You approve with `group approve`,
    unless --auto says that the link is enough.
    """
    from node.api import contact_operations, contact_schema

    given = context()
    request = contact_schema.GroupInviteRequest(group=group, uses=uses, lifetime_s=expires, auto=auto)
    made = given.call(contact_operations.GROUP_INVITE, request)
    if svg is not None:
        from node.cli.qr import write_svg

        write_svg(made.link, svg)
    if given.is_json:
        print_json(made)
        return
    click.echo(made.link)
    if qr:
        from node.cli.qr import terminal_qr

        click.echo(terminal_qr(made.link))


@click.command()
@click.argument("group")
@common
def invites(group: str) -> None:
    """The links given out for GROUP."""
    from node.api import contact_operations, schema

    given = context()
    found = given.call(contact_operations.GROUP_INVITES, schema.GroupRequest(group=group))
    if given.is_json:
        print_json(found)
        return
    if not found.invites:
        click.echo("no invites")
        return
    print_table(("ID", "USES LEFT", "AUTO", "EXPIRES"), map(invite_row, found.invites))


@click.command()
@click.argument("group")
@click.argument("invite", metavar="ID")
@common
def uninvite(group: str, invite: str) -> None:
    """Take a link back. Who waits by it is refused; who came in by it stays."""
    from node.api import contact_operations, contact_schema

    given = context()
    done = given.call(contact_operations.GROUP_UNINVITE, contact_schema.InviteRequest(group=group, invite=invite))
    if given.is_json:
        print_json(done)
        return
    click.echo("taken back")


@click.command()
@click.argument("group")
@common
def requests(group: str) -> None:
    """Who asks to be let into GROUP by an invite of yours."""
    from node.api import contact_operations, schema

    given = context()
    found = given.call(contact_operations.GROUP_REQUESTS, schema.GroupRequest(group=group))
    if given.is_json:
        print_json(found)
        return
    if not found.requests:
        click.echo("nobody asks")
        return
    print_table(("ID", "NAME", "PEER", "SINCE"), map(joiner_row, found.requests))
    click.echo("let one in: " + given.command(f"group approve {safe(group)} ID"))


@click.command()
@click.argument("group")
@click.argument("request", metavar="ID")
@change
def approve(group: str, request: str, timeout: float, no_wait: bool) -> None:
    """Let somebody in who asks.

    ID is the beginning of the request's id, a name or a peer id. Returns when the change is certified.
    """
    from node.api import contact_operations, contact_schema

    asked = contact_schema.ApproveRequest(group=group, request=request, timeout_s=timeout, wait=not no_wait)
    finish(contact_operations.GROUP_APPROVE, asked)


@click.command()
@click.argument("group")
@click.argument("request", metavar="ID")
@common
def refuse(group: str, request: str) -> None:
    """Do not let somebody in who asks. ID as for `approve`."""
    from node.api import contact_operations, contact_schema

    given = context()
    done = given.call(contact_operations.GROUP_REFUSE, contact_schema.JoinerRequest(group=group, request=request))
    if given.is_json:
        print_json(done)
        return
    click.echo("refused")


@click.command()
@click.argument("link")
@click.option("--name", help="What to call the group here [default: as the inviter calls it].")
@click.option("--no-wait", is_flag=True, help="Return at once; `group joins` tells how it is doing.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600),
    default=30.0,
    show_default=True,
    help="Seconds to wait to be let in; it goes on after that.",
)
@common
def join(link: str, name: str | None, no_wait: bool, timeout: float) -> None:
    """Follow an invite into a group.

    LINK is the word that `group invite` prints; `-` reads it from standard input. The inviter is asked until there is
    an answer, across restarts too.
    """
    from node.api import contact_operations, contact_schema

    given = context()
    request = contact_schema.JoinRequest(link=pasted(link), name=name, timeout_s=timeout, wait=not no_wait)
    result = given.call(contact_operations.GROUP_JOIN, request)
    if given.is_json:
        print_json(result)
    end_join(result, waited=request.wait)


def end_join(result: "JoinResult", *, waited: bool) -> None:
    """End as it ends: in 0, refused 1, not yet 4 (0 when not waited for)."""
    given = context()
    match result.state:
        case "joined":
            if not given.is_json:
                click.echo(safe(result.text))
                if not result.is_confirmed:
                    click.echo("unconfirmed until other members answer: conclave group show")
        case "refused":
            if not given.is_json:
                print_failure(Failure(Exit.FAILED, "refused", result.text), is_json=False)
            click.get_current_context().exit(Exit.FAILED)
        case _:
            if not given.is_json:
                click.echo(safe(result.text))
                click.echo("it goes on; see how it is doing: " + given.command("group joins"))
            if waited:
                click.get_current_context().exit(Exit.PENDING)


@click.command()
@common
def joins() -> None:
    """The invites that are followed here, and how they are doing.

    `group decline NAME` gives one up.
    """
    from node.api import contact_operations, schema

    given = context()
    found = given.call(contact_operations.GROUP_JOINS, schema.Nothing())
    if given.is_json:
        print_json(found)
        return
    if not found.joins:
        click.echo("no invite is followed; follow one: " + given.command("group join LINK"))
    for one in found.joins:
        click.echo(safe(one.text))


def invite_row(one: "Invite") -> tuple[object, ...]:
    """A link as a row."""
    expires = f"expired {at_time(one.expires_at)}" if one.is_expired else at_time(one.expires_at)
    return (one.invite_id[:8], one.uses_left, "yes" if one.is_auto else "no", expires)


def joiner_row(one: "Joiner") -> tuple[object, ...]:
    """Somebody who asks, as a row."""
    return (one.request_id[:8], one.name or short(one.peer_id), one.peer_id, at_time(one.asked_at))
