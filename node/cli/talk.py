"""`conclave group send`, `read` and `log`: what is said in a group, and what was decided."""

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from node.api.words import mailboxes
from node.cli.context import common, context
from node.cli.exits import CommandError, Exit, Failure
from node.cli.output import at_time, print_facts, print_json, print_table, safe, short

if TYPE_CHECKING:
    from node.api.schema import LogEntry, MessageItem


@click.command()
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
    if sent.is_waiting:
        click.echo(
            "kept: it is sent as soon as this node has met another member since its start, or is back in the group"
        )
        return
    click.echo(f"sent in epoch {sent.epoch} as {short(sent.message_id)}")


@click.command()
@click.argument("group")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only those after this sequence number.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many [default: all].")
@click.option("--follow", "-f", is_flag=True, help="Go on with new ones until Ctrl-C.")
@click.option("--shared", is_flag=True, help="In the order that all members share, not as they came here.")
@common
def read(group: str, after: int, limit: int | None, follow: bool, shared: bool) -> None:
    """Messages, oldest first."""
    if follow and limit is not None:
        raise click.UsageError("--follow has no end: leave --limit out")
    if shared and (follow or after):
        raise click.UsageError("--shared is an order of its own: leave --follow and --after out")
    if shared:
        print_in_one_order(group, limit)
        return
    last_seq = print_messages(group, after, limit, lines=follow)
    if follow:
        follow_messages(group, last_seq)


@click.command()
@click.argument("group")
@click.argument("message", required=False)
@common
def receipt(group: str, message: str | None) -> None:
    """What has become of a message of yours.

    Which mailboxes keep it and which members have said that they have it. MESSAGE is a beginning of its id, as
    `group send` shows it; the latest one if left out.
    """
    from node.api import operations, schema

    given = context()
    found = given.call(operations.GROUP_RECEIPT, schema.GroupReceiptRequest(group=group, message=message))
    if given.is_json:
        print_json(found)
        return
    print_facts(
        [
            ("message", found.message_id),
            ("sealed", f"{at_time(found.at)}, epoch {found.epoch}"),
            *(("stored at", place) for place in found.mailboxes),
            ("delivered", "" if found.recipients is None else f"to {found.delivered_to} of {found.recipients}"),
        ]
    )
    if found.members:
        print_table(
            ("MEMBER", "NAME", "HAS IT"),
            (
                (
                    one.peer_id,
                    one.name,
                    "yes" if one.is_delivered else "not heard" + ("" if one.is_member else ", gone"),
                )
                for one in found.members
            ),
        )
    if found.recipients is None:
        click.echo(found.text)


@click.command("log")
@click.argument("group")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only epochs after this one.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many [default: all].")
@common
def history(group: str, after: int, limit: int | None) -> None:
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


def read_stdin(size_max: int) -> str:
    """A message from standard input, less the line end a terminal adds."""
    data = sys.stdin.buffer.read(4 * size_max + 2)  # a character is at most four bytes
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise CommandError(Failure(Exit.FAILED, "not_text", "standard input is not UTF-8 text")) from error


def print_in_one_order(group: str, limit: int | None) -> None:
    """Print messages in the order that all members share."""
    from node.api import operations, schema

    given = context()
    client, messages = given.client(), list[schema.MessageItem]()
    page = schema.MessagePage(messages=(), last_seq=0, has_more=True)
    while page.has_more and (limit is None or len(messages) < limit):
        size = schema.PAGE_SIZE_MAX if limit is None else min(limit - len(messages), schema.PAGE_SIZE_MAX)
        request = schema.GroupReadRequest(group=group, limit=size, order="shared", after_place=page.last_place)
        page = client.call(operations.GROUP_READ, request)
        messages += page.messages
        if not given.is_json:
            for message in page.messages:
                click.echo(message_lines(message))
    if given.is_json:
        print_json(
            schema.MessagePage(
                messages=tuple(messages), last_seq=page.last_seq, has_more=page.has_more, last_place=page.last_place
            )
        )


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
    with contextlib.closing(given.client().follow(schema.EventsRequest(since=last_seq, group=group))) as stream:
        for event in stream:
            if event.message is not None:
                if given.is_json:
                    print_json(event.message, lines=True)
                else:
                    click.echo(message_lines(event.message))
            elif event.kind == "truncated":
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
    said = safe(message.text).replace("\n", "\n    ")
    return f"{at_time(message.at)}  {safe(who)}: {said}" + (f"  [{became(message)}]" if message.is_own else "")


def became(message: "MessageItem") -> str:
    """What has become of a message of ours, in a few words."""
    stored = [f"at {mailboxes(message.stored_at)}"] if message.stored_at else []
    if message.recipients and message.delivered_to == message.recipients:
        return "all have it"
    if message.recipients and message.delivered_to:
        return ", ".join((*stored, f"{message.delivered_to} of {message.recipients} have it"))
    return ", ".join(stored) or "sealed"
