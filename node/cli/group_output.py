"""How a group is printed, and how a change of it has ended."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from node.api.words import count, deciding
from node.cli.context import CommandT, common, context
from node.cli.exits import Exit, Failure
from node.cli.output import lasting, print_facts, print_failure, print_json, print_table, safe

if TYPE_CHECKING:
    from node.api.operations import Operation
    from node.api.schema import ChangeRequest, GroupDetail, GroupMailbox, IntentResult

ChangeT = TypeVar("ChangeT", bound="ChangeRequest")


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


def print_detail(detail: "GroupDetail") -> None:
    """Everything about one group; of one that this node was removed from, what is left."""
    is_here = bool(detail.members)
    committee = f"{detail.committee_size} of at most {detail.committee_max}, {detail.voters_heard} heard"
    print_facts(
        [
            ("group", detail.name),
            ("id", detail.group_id),
            ("epoch", f"{detail.epoch}, fingerprint {detail.epoch_fingerprint}" if is_here else str(detail.epoch)),
            ("suite", f"{detail.suite} ({detail.suite_name})" if is_here else ""),
            ("health", detail.health_text + (f"; {detail.next_step}" if detail.next_step else "")),
            ("committee", committee if is_here else ""),
            ("policy", policy_words(detail) if is_here else ""),
            ("survives", detail.survives),
            ("better", detail.survival.improvement),
            ("deciding", deciding(detail.view, detail.candidate_count) if detail.awake else ""),
            ("unconfirmed", "" if detail.is_confirmed else "voters of our own choosing have not answered yet"),
        ]
    )
    if is_here:
        print_table(("LEAF", "NAME", "PEER", "SEAT", "HEARD"), rows(detail))
    if detail.mailboxes:
        print_table(("MAILBOX", "STATE", "REACHED", "LACKS", "FAULTS", "LAST FAULT"), mailbox_rows(detail.mailboxes))
    if detail.mailbox_backlog:
        click.echo(f"{count(detail.mailbox_backlog, 'item')} of this node not at every mailbox yet")
    for intent in detail.pending:
        tried = count(intent.attempts, "attempt")
        again = "" if intent.retry_s is None or not intent.claims else f", again in {lasting(intent.retry_s)}"
        why = f" ({intent.reason}{again})" if intent.reason else ""
        click.echo(safe(f"pending {intent.intent_id}: {intent.text}, {lasting(intent.age_s)}, {tried}{why}"))


def mailbox_rows(mailboxes: "Sequence[GroupMailbox]") -> Iterator[tuple[object, ...]]:
    """The mailboxes as rows."""
    for one in mailboxes:
        state = f"{one.state}: {one.detail}" if one.detail else one.state
        reached = "" if one.reached_at is None else f"{lasting(max(0.0, time.time() - one.reached_at))} ago"
        yield (one.peer_id, state, reached, one.lacking_count or "", one.fault_count or "", one.last_fault)


def policy_words(detail: "GroupDetail") -> str:
    """How the group elects, in a line."""
    names = {one.peer_id: one.name or one.peer_id for one in detail.members}
    who = f" to {', '.join(names.get(pin, pin) for pin in detail.pins)}" if detail.pins else ""
    return f"{detail.policy}{who}, {detail.model} model, at most {count(detail.committee_max, 'voter')}"


def rows(detail: "GroupDetail") -> Iterator[tuple[object, ...]]:
    """The members as rows."""
    for one in detail.members:
        idle = "benched" if one.is_benched else "willing" if one.is_willing else ""
        seat = idle if one.seat is None else f"voter {one.seat}"
        heard = "never" if one.last_heard_s is None else f"{lasting(one.last_heard_s)} ago"
        seat = f"{seat}, proven liar" if one.is_proven_liar else seat
        heard = "waits to accept" if one.is_waiting else heard
        yield (f"#{one.leaf_index}", one.name, one.peer_id, seat, "this node" if one.is_self else heard)
