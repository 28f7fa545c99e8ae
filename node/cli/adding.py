"""How adding several peers is shown: a line that counts while it lasts, and each peer's end."""

import shlex
import sys
import time
from typing import TYPE_CHECKING

import click

from node.api.words import count
from node.cli.context import context
from node.cli.exits import Exit
from node.cli.output import lasting, print_json, safe

if TYPE_CHECKING:
    from node.api.schema import AddManyResult, AddOutcome, GroupAddManyRequest, GroupAddsRequest

STEP_S = 1.0  # after so long without an end, progress is shown, and again each time

WORDS = {
    "claiming": "key package is being claimed",
    "pending": "on its way",
    "certified": "added",
    "already": "a member already",
    "retrying": "not added yet",
    "refused": "not added",
}


def finish_adds(request: "GroupAddManyRequest | GroupAddsRequest") -> None:
    """Ask, show progress where it takes over a second, and end as it ends.

    0 when all are in, 1 when some were refused, 4 when the others are in and some are tried again or not certified yet.
    """
    from node.api import operations, schema

    given = context()
    began = time.monotonic()
    is_waited_for, timeout_s = request.wait, request.timeout_s
    first_s = min(STEP_S, timeout_s)
    if isinstance(request, schema.GroupAddManyRequest):
        first = schema.GroupAddManyRequest(
            group=request.group, peers=request.peers, wait=is_waited_for, timeout_s=first_s
        )
        result = given.call(operations.GROUP_ADD_MANY, first)
    else:
        result = given.call(operations.GROUP_ADDS, request)
    while is_waited_for and not result.is_settled and (left_s := timeout_s - (time.monotonic() - began)) > 0:
        _show_progress(result, given.is_json)
        question = schema.GroupAddsRequest(
            group=request.group, batch_id=result.batch_id, timeout_s=min(STEP_S, left_s), wait=True
        )
        later = given.call(operations.GROUP_ADDS, question)
        result = _merged(result, later)
    _end_progress(given.is_json)
    if given.is_json:
        print_json(result)
    else:
        _print(result, given.command(f"group adds {shlex.quote(safe(request.group))} {result.batch_id}"))
    click.get_current_context().exit(_exit_code(result, is_waited_for=is_waited_for))


def _merged(result: "AddManyResult", later: "AddManyResult") -> "AddManyResult":
    """What was said first, of everybody, with how those of the batch stand now."""
    import msgspec

    now = {one.intent_id: one for one in later.outcomes}
    outcomes = tuple(
        msgspec.structs.replace(now[one.intent_id], reference=one.reference) if one.intent_id in now else one
        for one in result.outcomes
    )
    return msgspec.structs.replace(later, outcomes=outcomes)


def _exit_code(result: "AddManyResult", *, is_waited_for: bool) -> int:
    states = {one.state for one in result.outcomes}
    if "refused" in states:
        return Exit.FAILED
    return Exit.PENDING if is_waited_for and states & {"claiming", "pending", "retrying"} else Exit.DONE


def _counts(result: "AddManyResult") -> dict[str, int]:
    counts = dict.fromkeys(WORDS, 0)
    for one in result.outcomes:
        counts[one.state] += 1
    return counts


def _show_progress(result: "AddManyResult", is_json: bool) -> None:
    """One line, written over on a terminal; on standard error, so that what is printed stays clean."""
    if is_json:
        return
    counts, total = _counts(result), len(result.outcomes)
    claimed = total - counts["claiming"]
    text = f"{claimed} of {total} key packages asked for"
    if counts["pending"]:
        text += f", {count(counts['pending'], 'peer')} in a change that is being decided"
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
    else:
        click.echo(text, err=True)


def _end_progress(is_json: bool) -> None:
    if not is_json and sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)


def _print(result: "AddManyResult", command: str) -> None:
    counts = _counts(result)
    epochs = f" (epoch {', '.join(map(str, result.epochs))})" if result.epochs else ""
    click.echo(f"added {counts['certified']} of {len(result.outcomes)}{epochs}")
    for one in result.outcomes:
        if one.state != "certified":
            click.echo(safe(_line(one)))
    if any(counts[state] for state in ("claiming", "pending", "retrying")):
        click.echo("it goes on; look again: " + command)


def _line(one: "AddOutcome") -> str:
    who = one.name or one.reference
    again = f"; tried again in {lasting(one.retry_s)}" if one.retry_s is not None else ""
    return f"  {who}: {WORDS[one.state]}{f': {one.reason}' if one.reason else ''}{again}"
