"""Commands about the node itself: status, id, peers, connect, events, stop."""

import contextlib
import time
from typing import TYPE_CHECKING

import click

from node.api.words import count
from node.cli.context import common, context
from node.cli.group_output import mailbox_rows
from node.cli.output import at_time, lasting, print_facts, print_json, print_table, safe, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.api.schema import Event, FindingKind, GroupSummary, NodeStatus, PeerInfo

GROUP_COLUMNS = ("GROUP", "ID", "EPOCH", "MEMBERS", "VOTERS", "UNREAD", "HEALTH")

FAILURE_SHOWN_S = 3600.0
UNCLEAN = "for {} another process reading the store has kept deleted keys from leaving it"


@click.command()
@common
def status() -> None:
    """What the node is doing: peers, groups, health."""
    from node.api import operations, schema

    given = context()
    now = given.call(operations.STATUS, schema.Nothing())
    if given.is_json:
        print_json(now)
        return
    print_facts(
        [
            ("node", f"conclave {now.version}, process {now.pid}, up {lasting(now.uptime_s)}"),
            ("peer id", now.identity.peer_id),
            *(("address", address) for address in now.identity.addresses),
            ("folder", now.data_dir),
            ("voter", "opts in by itself (always on)" if now.always_on else "only when told to"),
            ("peers", f"{len(now.peers)} connected"),
            ("http", now.http),
            *finding_facts(now),
            ("key packages", package_words(now)),
            *(() if now.unclean_s is None else (("disk", UNCLEAN.format(lasting(now.unclean_s))),)),
            ("requests", f"{now.request_count}, see: conclave group requests GROUP" if now.request_count else ""),
            ("invitations", f"{now.invitation_count}, see: conclave group invitations" if now.invitation_count else ""),
        ]
    )
    print_groups(now.groups)
    if now.mailboxes:
        print_table(("MAILBOX", "STATE", "REACHED", "LACKS", "FAULTS", "LAST FAULT"), mailbox_rows(now.mailboxes))


def package_words(now: "NodeStatus") -> str:
    """How this node can be added, asleep or awake."""
    ready = ", ".join(f"{each.ready} of {each.size} ready for suite {each.suite}" for each in now.packages)
    current = sum(each.is_current for each in now.replicas)
    kept = f"; {current} of {count(len(now.replicas), 'replica')} up to date" if now.replicas else ""
    return f"{ready}{kept}"


@click.command("id")
@common
def identity() -> None:
    """Who the node is and where it can be dialled."""
    from node.api import operations, schema

    given = context()
    who = given.call(operations.IDENTITY, schema.Nothing())
    if given.is_json:
        print_json(who)
        return
    print_facts([("peer id", who.peer_id), *(("address", address) for address in who.addresses)])


@click.command()
@common
def peers() -> None:
    """The peers connected right now."""
    from node.api import operations, schema

    given = context()
    connected = given.call(operations.PEERS, schema.Nothing())
    if given.is_json:
        print_json(connected)
        return
    if not connected.peers:
        click.echo("no peer is connected; dial one: " + given.command("connect ADDRESS"))
        return
    print_table(("PEER", "NAME", "ADDRESS", "GROUPS"), map(peer_row, connected.peers))


@click.command()
@click.argument("address")
@common
def connect(address: str) -> None:
    """Dial a peer.

    ADDRESS is a multiaddr that ends in /p2p/ and the peer's id.
    """
    from node.api import operations, schema

    given = context()
    peer = given.call(operations.CONNECT, schema.ConnectRequest(address=address))
    if given.is_json:
        print_json(peer)
        return
    click.echo(f"connected to {peer.peer_id}")


@click.command()
@click.argument("peer")
@click.argument("name")
@common
def name(peer: str, name: str) -> None:
    """Give a peer a name.

    PEER is an id or its last characters. The name stays on this node; an empty one takes it away.
    """
    from node.api import operations, schema

    given = context()
    named = given.call(operations.PEER_NAME, schema.PeerNameRequest(peer=peer, name=name))
    if given.is_json:
        print_json(named)
        return
    click.echo(
        safe(f"{named.peer_id} is called {named.name} here" if named.name else f"{named.peer_id} has no name here")
    )


@click.command()
@click.option("--since", type=click.IntRange(0, 2**63 - 1), help="Begin after this number [default: see below].")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--group", help="Only of this group.")
@common
def events(since: int | None, follow: bool, group: str | None) -> None:
    """What has happened here: one line each, with its number.

    All that is kept, or with --follow what happens from now on; --since begins after a number that you have seen. The
    numbers outlast restarts. A line `truncated` says that events before it are no longer kept.
    """
    from node.api import operations, schema

    given = context()
    client = given.client()
    if follow:
        with contextlib.closing(client.follow(schema.EventsRequest(since=since, group=group))) as stream:
            for event in stream:
                print_event(event)
        return
    last = since or 0
    while True:
        request = schema.EventsRequest(since=last, group=group, limit=schema.PAGE_SIZE_MAX, wait_s=0)
        batch = client.call(operations.EVENTS, request)
        for event in batch.events:
            print_event(event)
        if len(batch.events) < schema.PAGE_SIZE_MAX:
            return
        last = batch.last_seq


def print_event(event: "Event") -> None:
    """One line, for programs or people."""
    if context().is_json:
        print_json(event, lines=True)
    else:
        click.echo(event_line(event))


@click.command()
@common
def stop() -> None:
    """Stop the daemon cleanly."""
    from node.api import operations, schema

    given = context()
    done = given.call(operations.SHUTDOWN, schema.Nothing())
    if given.is_json:
        print_json(done)
        return
    click.echo("stopping")


def finding_facts(now: "NodeStatus") -> "Iterator[tuple[str, str]]":
    """How peers are found, and what this node is for others that look for theirs."""
    if [kind.name for kind in now.finding] == ["static"]:
        yield "finding", "at known addresses only; see [discovery] in the settings"
    else:
        yield from map(finding_fact, now.finding)
    if now.relaying is not None:
        places, circuits = count(now.relaying.places, "node"), count(now.relaying.circuits, "connection")
        yield "serving", f"as a relay, {places} reached through this one, {circuits}"
    if now.rendezvous_count is not None:
        yield "serving", f"as a rendezvous point, {count(now.rendezvous_count, 'peer')} registered"


def finding_fact(kind: "FindingKind") -> tuple[str, str]:
    """One way of finding peers, and what it failed at lately."""
    is_relay = kind.name == "relay"  # which finds nobody
    text = f"{kind.name}: {kind.found} found, {kind.reached} reached"
    if is_relay:
        text = f"by others through {count(kind.counters.get('places', 0), 'relay')}"
    ago_s = None if kind.failed_at is None else time.time() - kind.failed_at
    if ago_s is not None and ago_s < FAILURE_SHOWN_S:
        text += f"; failed {lasting(max(0.0, ago_s))} ago: {kind.failure}"
    return "reached" if is_relay else "finding", text


def print_groups(groups: "tuple[GroupSummary, ...]") -> None:
    """Groups as a table, and below it what to do about those that are not well."""
    if not groups:
        click.echo("no groups; found one: " + context().command("group create NAME"))
        return
    print_table(
        GROUP_COLUMNS,
        (
            (
                one.name,
                short(one.group_id),
                one.epoch,
                one.member_count if one.is_member else "removed",
                f"{one.voters_heard}/{one.committee_size}, {one.quorum} needed",
                one.unread_count or "",
                one.health,
            )
            for one in groups
        ),
    )
    for one in groups:
        if one.is_member and one.survives:
            click.echo(safe(f"{one.name}: {one.survives}"))
        if one.health != "ok":
            click.echo(safe(f"{one.name}: {one.health_text}" + (f"; {one.next_step}" if one.next_step else "")))


def peer_row(peer: "PeerInfo") -> tuple[object, ...]:
    """A peer as a row."""
    return (peer.peer_id, peer.name, peer.addresses[0] if peer.addresses else "", len(peer.groups) or "")


def event_line(event: "Event") -> str:
    """An event in one line."""
    text = f"{event.message.sender_name}: {event.message.text}" if event.message else event.text
    return f"{event.seq}  {at_time(event.at)}  {event.kind.ljust(10)}  {safe(text)}"
