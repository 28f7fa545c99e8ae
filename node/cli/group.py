"""`conclave group`: found, show and change a group; what is said in it is in `talk`."""

import shlex
from typing import cast

import click

from node.cli.adding import finish_adds
from node.cli.context import common, context
from node.cli.group_output import change, finish, print_detail
from node.cli.inviting import accept, decline, invitations
from node.cli.joining import approve, invite, invites, join, joins, refuse, requests, uninvite
from node.cli.output import print_json, safe
from node.cli.talk import history, read, receipt, send
from node.cli.view import print_groups


@click.group()
def group() -> None:
    """Groups: GROUP is a name or the first characters of an id."""


TALKING = (send, read, receipt, history)
INVITING = (invite, invites, uninvite, requests, approve, refuse, join, joins, invitations, accept, decline)
for elsewhere in (*TALKING, *INVITING):
    group.add_command(elsewhere)


@group.command()
@click.argument("name")
@click.option(
    "--suite", type=click.IntRange(1, 0xFFFF), help="Cipher suite, 1 for X25519 [default: setting group.suite]."
)
@click.option(
    "--model", type=click.Choice(["byzantine", "crash"]), default="byzantine", show_default=True, help="May voters lie?"
)
@click.option(
    "--voters-max",
    "--voters",
    "voters_max",
    type=click.IntRange(1, 31),
    default=7,
    show_default=True,
    help="Largest size of the committee.",
)
@click.option(
    "--policy",
    type=click.Choice(["auto", "pinned", "all"]),
    default="auto",
    show_default=True,
    help="Who votes: the eldest willing members, those pinned, or everyone willing.",
)
@click.option("--pin", "pins", metavar="PEER", multiple=True, help="May vote when pinned, beside this node. Repeat.")
@common
def create(name: str, suite: int | None, model: str, voters_max: int, policy: str, pins: tuple[str, ...]) -> None:
    """Found a group of which this node is the only member."""
    from node.api import operations, schema

    given = context()
    request = schema.GroupCreateRequest(
        name=name,
        suite=suite,
        policy=cast("schema.PolicyKind", policy),
        pins=pins,
        model=cast("schema.Model", model),
        committee_max=voters_max,
    )
    detail = given.call(operations.GROUP_CREATE, request)
    if given.is_json:
        print_json(detail)
        return
    click.echo(safe(f"founded {detail.name} ({detail.group_id})"))
    click.echo("next: " + given.command(f"group invite {shlex.quote(safe(detail.name))}"))


@group.command("list")
@common
def list_() -> None:
    """All groups of this node."""
    from node.api import operations, schema

    given = context()
    found = given.call(operations.GROUP_LIST, schema.Nothing())
    if given.is_json:
        print_json(found)
        return
    print_groups(found.groups)


@group.command()
@click.argument("group")
@common
def show(group: str) -> None:
    """Members, committee, epoch and health."""
    from node.api import operations, schema

    given = context()
    detail = given.call(operations.GROUP_SHOW, schema.GroupRequest(group=group))
    if given.is_json:
        print_json(detail)
        return
    print_detail(detail)


@group.command()
@click.argument("group")
@click.argument("peers", metavar="PEER...", nargs=-1, required=True)
@change
def add(group: str, peers: tuple[str, ...], timeout: float, no_wait: bool) -> None:
    """Add peers to GROUP, several in one change.

    PEER is a contact, the id of a peer, or a multiaddr. Returns when the change is certified. Of several, those without
    a usable key package are named, and tried again by themselves in a later change.
    """
    from node.api import operations, schema

    if len(peers) > 1:
        finish_adds(schema.GroupAddManyRequest(group=group, peers=peers, timeout_s=timeout, wait=not no_wait))
        return
    request = schema.GroupAddRequest(group=group, peer=peers[0], timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_ADD, request)


@group.command()
@click.argument("group")
@click.argument("batch_id", metavar="ADD")
@change
def adds(group: str, batch_id: str, timeout: float, no_wait: bool) -> None:
    """How adding several peers to GROUP is doing.

    ADD is the id that `group add` has printed.
    """
    from node.api import schema

    finish_adds(schema.GroupAddsRequest(group=group, batch_id=batch_id, timeout_s=timeout, wait=not no_wait))


@group.command()
@click.argument("group")
@click.argument("peer")
@change
def readd(group: str, peer: str, timeout: float, no_wait: bool) -> None:
    """Remove a member and add it anew, in one change.

    For one that was away for longer than anybody keeps what was decided, or has lost its state. PEER as for `add`.
    """
    from node.api import operations, schema

    request = schema.GroupAddRequest(group=group, peer=peer, timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_READD, request)


@group.command()
@click.argument("group")
@common
def rejoin(group: str) -> None:
    """Take any one member's word about where GROUP stands.

    For a node that cannot follow its group any more, when too few of the voters it knew are left to vouch.
    """
    from node.api import operations, schema

    given = context()
    done = given.call(operations.GROUP_REJOIN, schema.GroupRequest(group=group))
    if given.is_json:
        print_json(done)
        return
    click.echo("the next member that adds this node anew is believed, if one this node knew vouches for it")


@group.command()
@click.argument("group")
@click.argument("member")
@change
def remove(group: str, member: str, timeout: float, no_wait: bool) -> None:
    """Remove a member from GROUP.

    MEMBER is a name, the first characters of a peer id, or # and a leaf number. Returns when the change is certified.
    """
    from node.api import operations, schema

    request = schema.GroupRemoveRequest(group=group, member=member, timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_REMOVE, request)


@group.command()
@click.argument("group")
@change
def update(group: str, timeout: float, no_wait: bool) -> None:
    """Refresh this node's keys in GROUP.

    Returns when the change is certified.
    """
    from node.api import operations, schema

    finish(operations.GROUP_UPDATE, schema.ChangeRequest(group=group, timeout_s=timeout, wait=not no_wait))


@group.command("opt-in")
@click.argument("group")
@change
def opt_in(group: str, timeout: float, no_wait: bool) -> None:
    """Offer this node as a voter.

    A voter should be always on: the group's changes wait for a quorum of them.
    """
    from node.api import operations, schema

    finish(operations.GROUP_OPT_IN, schema.ChangeRequest(group=group, timeout_s=timeout, wait=not no_wait))


@group.command("opt-out")
@click.argument("group")
@change
def opt_out(group: str, timeout: float, no_wait: bool) -> None:
    """Stop being a voter."""
    from node.api import operations, schema

    finish(operations.GROUP_OPT_OUT, schema.ChangeRequest(group=group, timeout_s=timeout, wait=not no_wait))


@group.command()
@click.argument("group")
@click.argument("member")
@change
def bench(group: str, member: str, timeout: float, no_wait: bool) -> None:
    """Pass over a voter that is gone, until it comes back by itself.

    MEMBER as for `remove`. The voters agree only if they have not heard it for long (setting ordering.bench_after_s).
    """
    from node.api import operations, schema

    request = schema.GroupMemberRequest(group=group, member=member, timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_BENCH, request)


@group.command()
@click.argument("group")
@click.option(
    "--policy",
    type=click.Choice(["auto", "pinned", "all"]),
    help="Who votes: the eldest willing members, those pinned, or everyone willing.",
)
@click.option("--pin", "pins", metavar="PEER", multiple=True, help="All who may vote when pinned. Repeat.")
@click.option("--model", type=click.Choice(["byzantine", "crash"]), help="May voters lie?")
@click.option("--voters-max", type=click.IntRange(1, 31), help="Largest size of the committee.")
@click.option("--delta-ms", type=click.IntRange(10, 60_000), help="Expected longest delay between voters.")
@change
def policy(
    group: str,
    policy: str | None,
    pins: tuple[str, ...],
    model: str | None,
    voters_max: int | None,
    delta_ms: int | None,
    timeout: float,
    no_wait: bool,
) -> None:
    """Change how GROUP elects its voters.

    Only a voter may, where members are pinned only one of those. What is not given stays as it is.
    """
    from node.api import operations, schema

    if (policy, pins, model, voters_max, delta_ms) == (None, (), None, None, None):
        raise click.UsageError("say what to change: --policy, --pin, --model, --voters-max or --delta-ms")
    request = schema.GroupPolicyRequest(
        group=group,
        policy=cast("schema.PolicyKind | None", policy or ("pinned" if pins else None)),
        pins=pins,
        model=cast("schema.Model | None", model),
        committee_max=voters_max,
        delta_ms=delta_ms,
        timeout_s=timeout,
        wait=not no_wait,
    )
    finish(operations.GROUP_POLICY, request)


@group.command()
@click.argument("group")
@change
def leave(group: str, timeout: float, no_wait: bool) -> None:
    """Leave GROUP.

    Returns when another member's commit has taken this node out. What was received can still be read.
    """
    from node.api import operations, schema

    finish(operations.GROUP_LEAVE, schema.ChangeRequest(group=group, timeout_s=timeout, wait=not no_wait))


@group.command()
@click.argument("group")
@click.option("--lost", metavar="PEER", multiple=True, help="A member that will not come back. Repeat.")
@click.option("--follow", metavar="ID", help="Take up the successor with this id, which another member has founded.")
@click.option("--withdraw", is_flag=True, help="Take back what was endorsed here.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def rescue(group: str, lost: tuple[str, ...], follow: str | None, withdraw: bool, yes: bool) -> None:
    """Go on without a quorum that is lost for ever.

    Founds a new group with the members that are connected: its successor once more than two thirds of all agree. From
    then on this node votes no more in GROUP.
    """
    from node.api import operations, schema

    if (follow is not None) + withdraw + bool(lost) > 1:
        raise click.UsageError("--lost, --follow and --withdraw are three different things")
    if not yes and not withdraw:
        click.confirm(
            f"This node will never vote in {safe(group)} again. New group, same people. Go on?", abort=True, err=True
        )
    given = context()
    request = schema.GroupRescueRequest(group=group, lost=lost, follow=follow, withdraw=withdraw)
    result = given.call(operations.GROUP_RESCUE, request)
    if given.is_json:
        print_json(result)
        return
    click.echo(safe(result.text))


@group.command()
@click.argument("group")
@click.argument("change_id", metavar="CHANGE")
@change
def wait(group: str, change_id: str, timeout: float, no_wait: bool) -> None:
    """Wait for an earlier change.

    CHANGE is the id that --no-wait or a timeout has printed.
    """
    from node.api import operations, schema

    request = schema.IntentRequest(group=group, intent_id=change_id, timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_INTENT, request)
