"""`conclave log`: check or export what a group has decided."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import click

from node.cli.context import common, context
from node.cli.exits import Exit
from node.cli.output import print_facts, print_json, safe
from node.cli.secret import passphrase_fd, store_key

if TYPE_CHECKING:
    from node.api.schema import VerifyReport
    from node.vault import StoreKey


class Verifier(Protocol):
    """What `node.verify` is for this command."""

    def verify_group(self, data_dir: Path, group: str, key: "StoreKey") -> "VerifyReport":
        """Re-check every certificate of a group's stored chain, read-only. Raises ApiError for an unknown group."""


@click.group()
def log() -> None:
    """The decided chain: check it, export it."""


@log.command()
@click.argument("group")
@passphrase_fd
@common
def verify(group: str, passphrase_fd: int | None) -> None:
    """Check every certificate again, offline.

    Reads the chain of GROUP straight from the store.

    Needs no daemon and trusts none; exit code 1 means that something does not check out.
    """
    given = context()
    config = given.load()
    key = store_key(config, passphrase_fd)
    report = cast(Verifier, import_module("node.verify")).verify_group(config.data_dir, group, key)
    if given.is_json:
        print_json(report)
    else:
        print_report(report)
    if not report.ok:
        click.get_current_context().exit(Exit.FAILED)


@log.command()
@click.argument("group")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write here [default: standard output]."
)
@common
def export(group: str, output: Path | None) -> None:
    """The chain with its certificates, as one file."""
    from node.api import operations, schema

    given = context()
    exported = given.call(operations.GROUP_LOG_EXPORT, schema.GroupRequest(group=group))
    if given.is_json:
        print_json(exported)
        return
    if output is None:
        if sys.stdout.isatty():
            raise click.UsageError("the export is binary: give --output FILE, or redirect it")
        sys.stdout.buffer.write(exported.chain)
        return
    output.write_bytes(exported.chain)
    click.echo(f"wrote epochs {exported.first_epoch} to {exported.last_epoch} to {output}", err=True)


def print_report(report: "VerifyReport") -> None:
    """The report in words."""
    print_facts(
        [
            ("group", f"{report.name} ({report.group_id})"),
            ("anchor", report.anchor),
            ("epochs", f"{report.first_epoch} to {report.last_epoch}, {report.decision_count} decisions"),
            ("checked", f"{report.signature_count} signatures"),
            ("head", report.head_id),
            ("fingerprint", report.epoch_fingerprint),
        ]
    )
    for problem in report.problems:
        click.echo(safe(f"epoch {problem.epoch}: {problem.text}"))
    click.echo("every decision is certified and linked" if report.ok else "THE CHAIN DOES NOT CHECK OUT")
