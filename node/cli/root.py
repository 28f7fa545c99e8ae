"""The root command: global options, the list of commands, and one place where failures become exit codes."""

import contextlib
import sys
from typing import Any

import click

from node.cli.api import api
from node.cli.contact import contact
from node.cli.context import Context, common
from node.cli.exits import MEANINGS, Exit, Failure, explain
from node.cli.group import group
from node.cli.init import init
from node.cli.log import log
from node.cli.output import print_failure
from node.cli.run import run
from node.cli.testnet import testnet
from node.cli.token import token
from node.cli.view import connect, events, identity, name, peers, status, stop
from node.version import VERSION


class Root(click.Group):
    """Turns the failures we expect into a message and an exit code; a bug of ours keeps its trace."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        given = ctx.ensure_object(Context)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)
        except Exception as error:
            failure = explain(error, given.command("run"), given.command("init"))
            if failure is None:
                raise
            if failure.exit is Exit.NOT_RUNNING:
                failure = with_init(failure, given)
            print_failure(failure, is_json=given.is_json)
            ctx.exit(failure.exit)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes, as a table."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANINGS.items()])


def with_init(failure: Failure, given: Context) -> Failure:
    """A node that was never made cannot be started: say `init` instead of `run`."""
    from node.errors import NodeError

    with contextlib.suppress(NodeError):
        if given.config_path() is None and given.socket is None:
            hint = f"there is no node here yet; make one: {given.command('init')}"
            return Failure(failure.exit, failure.code, failure.message, hint)
    return failure


def print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """`--version`."""
    if value and not ctx.resilient_parsing:
        click.echo(f"conclave {VERSION}")
        ctx.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=print_version, help="Print the version."
)
@common
def root() -> None:
    """End-to-end encrypted groups without a server: MLS between peers, every change certified.

    Make a node with `conclave init`, start it with `conclave run`, and use it from another terminal.
    """


TALKING = (status, identity, peers, connect, name, events, stop)
for command in (init, run, *TALKING, contact, group, log, token, api, testnet):
    root.add_command(command)


def main() -> None:
    """The entry point."""
    root(prog_name="conclave")
    sys.exit(Exit.DONE)
