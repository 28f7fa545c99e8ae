"""`conclave contact`: cards, the people they belong to, and safety numbers."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.context import common, context
from node.cli.exits import CommandError, Exit, Failure
from node.cli.output import print_facts, print_json, print_table, safe, short

if TYPE_CHECKING:
    from node.api.contact_schema import Contact, ContactRequest
    from node.api.operations import Operation

COLUMNS = ("NAME", "PEER", "VERIFIED", "STATE", "CARD")


@click.group()
def contact() -> None:
    """Contacts: people by their cards. NAME is what they are called here, or the end of a peer id."""


@contact.command()
@click.option("--qr", is_flag=True, help="Draw it as a QR code too.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write the QR code to this file, as SVG.")
@common
def card(qr: bool, svg: Path | None) -> None:
    """This node's own card.

    One word to send to others: who adds it with `contact add` can reach this node. It tells the node's name, addresses
    and mailboxes, and is good for a year.
    """
    from node.api import contact_operations, schema

    given = context()
    own = given.call(contact_operations.CONTACT_CARD, schema.Nothing())
    if svg is not None:
        from node.cli.qr import write_svg

        write_svg(own.card, svg)
    if given.is_json:
        print_json(own)
        return
    click.echo(own.card)
    if qr:
        from node.cli.qr import terminal_qr

        click.echo(terminal_qr(own.card))


@contact.command()
@click.argument("card")
@click.option("--name", help="What to call them here [default: what they call themselves].")
@common
def add(card: str, name: str | None) -> None:
    """Take in somebody's card, or a newer one.

    CARD is the word that their `contact card` prints; `-` reads it from standard input.
    """
    from node.api import contact_operations, contact_schema

    given = context()
    request = contact_schema.ContactAddRequest(card=pasted(card), name=name)
    added = given.call(contact_operations.CONTACT_ADD, request)
    if given.is_json:
        print_json(added)
        return
    click.echo(safe(f"{added.name} is a contact ({short(added.peer_id)})"))
    if not added.is_verified:
        click.echo(safe("compare safety numbers: " + given.command(f"contact verify {quoted(added.name)}")))


@contact.command("list")
@common
def list_() -> None:
    """Everybody, in the order they came."""
    from node.api import contact_operations, schema

    given = context()
    found = given.call(contact_operations.CONTACT_LIST, schema.Nothing())
    if given.is_json:
        print_json(found)
        return
    if not found.contacts:
        click.echo("no contacts; add one: " + given.command("contact add CARD"))
        return
    print_table(COLUMNS, map(row, found.contacts))


@contact.command()
@click.argument("name")
@common
def show(name: str) -> None:
    """One contact, with its safety number."""
    from node.api import contact_operations, contact_schema

    given = context()
    found = given.call(contact_operations.CONTACT_SHOW, contact_schema.ContactRequest(contact=name))
    if given.is_json:
        print_json(found)
        return
    print_facts(facts(found))


@contact.command()
@click.argument("name")
@click.option("--code", help="The number or the words that they see, digits with or without spaces.")
@click.option("--yes", is_flag=True, help="They are the same at both ends: do not ask.")
@click.option("--qr", is_flag=True, help="Draw the number as a QR code, for the other side to scan.")
@common
def verify(name: str, code: str | None, yes: bool, qr: bool) -> None:
    """Compare safety numbers, so that nobody sits in between.

    Both sides see the same number and the same words. Compare them by voice or in person; or give what the other side
    sees with --code. A contact's key never changes, so a verification holds until the contact is removed.
    """
    from node.api import contact_operations, contact_schema

    if code is not None and yes:
        raise click.UsageError("--code compares, --yes says that it was compared: one of the two")
    given = context()
    request = contact_schema.ContactVerifyRequest(contact=name, code=code, matches=yes)
    if code is None and not yes:
        found = given.call(contact_operations.CONTACT_SHOW, contact_schema.ContactRequest(contact=name))
        if given.is_json:
            print_json(found)
            return
        if not found.name:
            hint = "name it: " + given.command(f"contact rename {quoted(name)} NAME")
            raise CommandError(Failure(Exit.FAILED, "refused", "this is no contact yet", hint))
        show_number(found, qr=qr)
        if found.is_verified:
            return
        if not click.confirm(safe(f"Does {found.name} see the same?"), err=True):
            raise CommandError(
                Failure(
                    Exit.FAILED, "mismatch", f"{found.name} is not verified", "if they differ, one has another's card"
                )
            )
        request = contact_schema.ContactVerifyRequest(contact=found.peer_id, matches=True)
    verified = given.call(contact_operations.CONTACT_VERIFY, request)
    if given.is_json:
        print_json(verified)
        return
    click.echo(safe(f"{verified.name} is verified"))


@contact.command()
@click.argument("name")
@click.argument("new_name")
@common
def rename(name: str, new_name: str) -> None:
    """Call a contact something else. It stays on this node."""
    from node.api import contact_operations, contact_schema

    given = context()
    request = contact_schema.ContactRenameRequest(contact=name, name=new_name)
    renamed = given.call(contact_operations.CONTACT_RENAME, request)
    if given.is_json:
        print_json(renamed)
        return
    click.echo(safe(f"{short(renamed.peer_id)} is called {renamed.name} here"))


@contact.command()
@click.argument("name")
@common
def block(name: str) -> None:
    """Take nothing more from a peer: no connection, no key package, no group.

    NAME may be any peer's id. In groups you share, the others pass on what it says; leave them, or have it removed.
    """
    from node.api import contact_operations

    told(contact_operations.CONTACT_BLOCK, name, "is blocked")


@contact.command()
@click.argument("name")
@common
def unblock(name: str) -> None:
    """Take back a block."""
    from node.api import contact_operations

    told(contact_operations.CONTACT_UNBLOCK, name, "is not blocked")


@contact.command()
@click.argument("name")
@common
def remove(name: str) -> None:
    """Forget a contact, its verification too."""
    from node.api import contact_operations

    told(contact_operations.CONTACT_REMOVE, name, "is no contact any more")


def told(operation: "Operation[ContactRequest, Contact]", name: str, what: str) -> None:
    """Do something with a contact, and say that it is done."""
    from node.api import contact_schema

    given = context()
    done = given.call(operation, contact_schema.ContactRequest(contact=name))
    if given.is_json:
        print_json(done)
        return
    click.echo(safe(f"{done.name or done.peer_id} {what}"))


def row(one: "Contact") -> tuple[object, ...]:
    """A contact as a row."""
    state = "blocked" if one.is_blocked else "connected" if one.is_connected else "away"
    return (one.name, one.peer_id, "yes" if one.is_verified else "no", state, card_words(one))


def card_words(one: "Contact") -> str:
    """How good the card is."""
    if one.expires_at is None:
        return "none"
    return f"{'expired' if one.is_expired else 'until'} {at_day(one.expires_at)}"


def facts(one: "Contact") -> Iterator[tuple[str, object]]:
    """A contact at length."""
    yield ("name", one.name)
    yield ("calls itself", one.claimed_name if one.claimed_name != one.name else "")
    yield ("peer id", one.peer_id)
    for address in one.addresses:
        yield ("address", address)
    for mailbox in one.mailboxes:
        yield ("mailbox", mailbox)
    yield ("card", card_words(one))
    yield ("blocked", "yes" if one.is_blocked else "")
    yield ("verified", at_day(one.verified_at) if one.verified_at is not None else "no")
    yield ("number", one.safety_number)
    yield ("words", one.safety_words)


def show_number(one: "Contact", *, qr: bool) -> None:
    """The number and the words, in lines that can be read out."""
    groups, words = one.safety_number.split(), one.safety_words.split()
    click.echo(safe(f"{one.name} should see the same number:"))
    for start in range(0, len(groups), 6):
        click.echo("  " + " ".join(groups[start : start + 6]))
    click.echo("or the same words:")
    for start in range(0, len(words), 6):
        click.echo("  " + " ".join(words[start : start + 6]))
    if qr:
        from node.cli.qr import terminal_qr

        click.echo(terminal_qr(one.safety_number.replace(" ", "")))
    if one.is_verified:
        click.echo(safe(f"{one.name} is verified since {at_day(one.verified_at or 0)}"))


def pasted(text: str) -> str:
    """What was pasted, or what standard input has for `-`. The daemon refuses what is too long."""
    from node.api.contact_schema import PASTED_SIZE_MAX

    if text == "-":
        text = sys.stdin.read(PASTED_SIZE_MAX + 1)
    if not text.strip():
        raise click.UsageError("there is nothing to read")
    if len(text) > PASTED_SIZE_MAX:
        raise click.UsageError(f"that is too long: at most {PASTED_SIZE_MAX} characters are read")
    return text


def quoted(name: str) -> str:
    """A name as a shell takes it."""
    import shlex

    return shlex.quote(safe(name))


def at_day(seconds: float) -> str:
    """A day in local time."""
    try:
        return time.strftime("%Y-%m-%d", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "a day far off"
