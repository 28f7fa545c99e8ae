"""`conclave group`: found, show, change, talk."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from node.cli.context import CommandT, common, context
from node.cli.exits import CommandError, Exit, Failure
from node.cli.output import at_time, lasting, print_facts, print_failure, print_json, print_table, safe, short
from node.cli.view import print_groups

if TYPE_CHECKING:
    from node.api.operations import Operation
    from node.api.schema import ChangeRequest, GroupDetail, IntentResult, LogEntry, MessageItem

ChangeT = TypeVar("ChangeT", bound="ChangeRequest")


@click.group()
def group() -> None:
    """Groups: GROUP is a name or the first characters of an id."""


def change(command: CommandT) -> CommandT:
    """The options of commands that change a group."""
    command = common(command)
    for option in (
        click.option(
            "--no-wait", is_flag=True, help="Return at once with the change's id (`group wait` waits for it)."
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0, 600),
            default=30.0,
            show_default=True,
            help="Seconds to wait for the certificate; the change goes on after that.",
        ),
    ):
        command = option(command)
    return command


@group.command()
@click.argument("name")
@click.option("--suite", type=click.IntRange(1, 7), help="Cipher suite [default: setting group.suite].")
@click.option(
    "--model", type=click.Choice(["byzantine", "crash"]), default="byzantine", show_default=True, help="May voters lie?"
)
@click.option(
    "--voters", type=click.IntRange(1, 31), default=7, show_default=True, help="Largest size of the committee."
)
@common
def create(name: str, suite: int | None, model: str, voters: int) -> None:
    """Found a group of which this node is the only member."""
    from node.api import operations, schema

    given = context()
    request = schema.GroupCreateRequest(
        name=name, suite=suite, model="crash" if model == "crash" else "byzantine", committee_max=voters
    )
    detail = given.call(operations.GROUP_CREATE, request)
    if given.is_json:
        print_json(detail)
        return
    click.echo(safe(f"founded {detail.name} ({detail.group_id})"))
    click.echo("next: " + given.command("group add GROUP PEER"))


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
@click.argument("peer")
@change
def add(group: str, peer: str, timeout: float, no_wait: bool) -> None:
    """Add a peer to GROUP.

    PEER is the id of a connected peer, or a multiaddr. Returns when the change is certified.
    """
    from node.api import operations, schema

    request = schema.GroupAddRequest(group=group, peer=peer, timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_ADD, request)


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
@click.argument("change_id", metavar="CHANGE")
@change
def wait(group: str, change_id: str, timeout: float, no_wait: bool) -> None:
    """Wait for an earlier change.

    CHANGE is the id that --no-wait or a timeout has printed.
    """
    from node.api import operations, schema

    request = schema.IntentRequest(group=group, intent_id=change_id, timeout_s=timeout, wait=not no_wait)
    finish(operations.GROUP_INTENT, request)


@group.command()
@click.argument("group")
@click.argument("text", nargs=-1, required=True)
@common
def send(group: str, text: tuple[str, ...]) -> None:
    """Send a message to all members.

    TEXT may be several words; `-` reads it from standard input.
    """
    from node.api import operations, schema

    given = context()
    words = read_stdin(schema.TEXT_SIZE_MAX) if text == ("-",) else " ".join(text)
    if not words:
        raise click.UsageError("there is nothing to send")
    if len(words) > schema.TEXT_SIZE_MAX:
        raise click.UsageError(f"a message has at most {schema.TEXT_SIZE_MAX} characters")
    sent = given.call(operations.GROUP_SEND, schema.GroupSendRequest(group=group, text=words))
    if given.is_json:
        print_json(sent)
        return
    click.echo(f"sent in epoch {sent.epoch} as {short(sent.message_id)}")


@group.command()
@click.argument("group")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only those after this sequence number.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many [default: all].")
@click.option("--follow", "-f", is_flag=True, help="Go on with new ones until Ctrl-C.")
@common
def read(group: str, after: int, limit: int | None, follow: bool) -> None:
    """Messages, oldest first."""
    if follow and limit is not None:
        raise click.UsageError("--follow has no end: leave --limit out")
    last_seq = print_messages(group, after, limit, lines=follow)
    if follow:
        follow_messages(group, last_seq)


@group.command()
@click.argument("group")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only epochs after this one.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many [default: all].")
@common
def log(group: str, after: int, limit: int | None) -> None:
    """What was decided, and who certified it.

    One line per epoch; `conclave log verify GROUP` checks it all again.
    """
    from node.api.schema import LogPage

    given = context()
    group_id, entries = log_entries(group, after, limit)
    if given.is_json:
        print_json(LogPage(group_id=group_id, entries=tuple(entries), has_more=False))
        return
    print_table(
        ("EPOCH", "TIME", "CHANGE", "BY", "VIEW", "SIGNED", "CANDIDATE", "TOOK"),
        (
            (
                entry.epoch,
                at_time(entry.at),
                "; ".join(one.text for one in entry.changes),
                entry.committer_name or short(entry.committer),
                entry.view,
                f"{len(entry.voters)}/{entry.committee_size}, {entry.quorum} needed",
                short(entry.candidate_id),
                "" if entry.latency_s is None else f"{entry.latency_s * 1000:.0f} ms",
            )
            for entry in entries
        ),
    )


def finish(operation: "Operation[ChangeT, IntentResult]", request: ChangeT) -> None:
    """Ask for a change and end as it ends: certified 0, refused 1, not certified in time 4 (0 when not waited for)."""
    given = context()
    result = given.call(operation, request)
    if given.is_json:
        print_json(result)
    match result.state:
        case "certified" | "already":
            if not given.is_json:
                took = f", {result.latency_s * 1000:.0f} ms" if result.latency_s is not None else ""
                held = "" if result.epoch is None else f" (epoch {result.epoch}{took})"
                click.echo(safe(result.text) + held)
        case "pending":
            if not given.is_json:
                click.echo(safe(result.text))
                click.echo(
                    "it goes on; wait for it: " + given.command(f"group wait {request.group} {result.intent_id}")
                )
            if request.wait:
                click.get_current_context().exit(Exit.PENDING)
        case "refused":
            if not given.is_json:
                error = result.error
                failure = Failure(
                    Exit.FAILED,
                    error.code if error else "refused",
                    f"{result.text}: {error.message}" if error else result.text,
                    error.hint if error else "",
                )
                print_failure(failure, is_json=False)
            click.get_current_context().exit(Exit.FAILED)


def read_stdin(size_max: int) -> str:
    """A message from standard input, less the line end a terminal adds."""
    data = sys.stdin.buffer.read(4 * size_max + 2)  # a character is at most four bytes
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise CommandError(Failure(Exit.FAILED, "not_text", "standard input is not UTF-8 text")) from error


def print_messages(group: str, after: int, limit: int | None, *, lines: bool) -> int:
    """Print messages page by page; returns where to go on."""
    from node.api import operations, schema

    given = context()
    client = given.client()
    messages: list[schema.MessageItem] = []
    while True:
        size = schema.PAGE_SIZE_MAX if limit is None else min(limit - len(messages), schema.PAGE_SIZE_MAX)
        page = client.call(operations.GROUP_READ, schema.GroupReadRequest(group=group, after_seq=after, limit=size))
        after = page.last_seq
        messages += page.messages
        if not given.is_json:
            for message in page.messages:
                click.echo(message_lines(message))
        if not page.has_more or (limit is not None and len(messages) >= limit):
            break
    if given.is_json and lines:
        for message in messages:
            print_json(message, lines=True)
    elif given.is_json:
        print_json(schema.MessagePage(messages=tuple(messages), last_seq=after, has_more=page.has_more))
    return after


def follow_messages(group: str, last_seq: int) -> None:
    """Print messages as they come."""
    from node.api import schema

    given = context()
    with contextlib.closing(given.client().follow(schema.EventsRequest(after_seq=last_seq, group=group))) as stream:
        for event in stream:
            if event.message is not None:
                if given.is_json:
                    print_json(event.message, lines=True)
                else:
                    click.echo(message_lines(event.message))
            elif event.kind == "gap":
                click.echo(safe(event.text), err=True)


def log_entries(group: str, after: int, limit: int | None) -> "tuple[str, list[LogEntry]]":
    """The group's id and its decisions, page by page."""
    from node.api import operations, schema

    client = context().client()
    entries: list[LogEntry] = []
    while True:
        size = schema.PAGE_SIZE_MAX if limit is None else min(limit - len(entries), schema.PAGE_SIZE_MAX)
        page = client.call(operations.GROUP_LOG, schema.GroupLogRequest(group=group, after_epoch=after, limit=size))
        entries += page.entries
        if not page.has_more or not page.entries or (limit is not None and len(entries) >= limit):
            return page.group_id, entries
        after = page.entries[-1].epoch


def message_lines(message: "MessageItem") -> str:
    """A message for reading: further lines of it are indented, so that they cannot pass for another's."""
    who = message.sender_name or short(message.sender)
    return f"{at_time(message.at)}  {safe(who)}: " + safe(message.text).replace("\n", "\n    ")


def print_detail(detail: "GroupDetail") -> None:
    """Everything about one group."""
    print_facts(
        [
            ("group", detail.name),
            ("id", detail.group_id),
            ("epoch", f"{detail.epoch}, fingerprint {detail.epoch_fingerprint}"),
            ("suite", f"{detail.suite} ({detail.suite_name})"),
            ("health", detail.health_text + (f"; {detail.next_step}" if detail.next_step else "")),
            ("committee", f"{detail.committee_size} of at most {detail.committee_max}, {detail.voters_heard} heard"),
            ("survives", detail.survives),
            ("deciding", f"view {detail.view}, {detail.candidate_count} candidates" if detail.awake else ""),
            ("unconfirmed", "" if detail.is_confirmed else "voters of our own choosing have not answered yet"),
        ]
    )
    print_table(("LEAF", "NAME", "PEER", "SEAT", "HEARD"), rows(detail))
    for intent in detail.pending:
        click.echo(safe(f"pending {intent.intent_id}: {intent.text}, {lasting(intent.age_s)}, {intent.attempts} tries"))


def rows(detail: "GroupDetail") -> Iterator[tuple[object, ...]]:
    """The members as rows."""
    for one in detail.members:
        seat = f"voter {one.seat}" if one.seat is not None else ("willing" if one.is_willing else "")
        heard = "never" if one.last_heard_s is None else f"{lasting(one.last_heard_s)} ago"
        yield (f"#{one.leaf_index}", one.name, one.peer_id, seat, "this node" if one.is_self else heard)
