"""`conclave run`: the daemon, in the foreground."""

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import click

from node.cli.context import common, context
from node.cli.output import print_json
from node.cli.secret import opener, passphrase_fd
from node.cli.settings import given_settings, with_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.api.schema import Identity
    from node.config import Config
    from node.vault import StoreKey


class Process(Protocol):
    """What `node.process` is for this command."""

    def run(
        self, config: "Config", key_of: "Callable[[], StoreKey]", *, on_ready: "Callable[[Identity], None]"
    ) -> None:
        """Run until SIGINT, SIGTERM or `shutdown`; calls `on_ready` once the node answers. Raises NodeError."""


@click.command()
@passphrase_fd
@with_settings
@common
def run(passphrase_fd: int | None) -> None:
    """Run the node in the foreground until Ctrl-C or SIGTERM.

    One line tells when it is ready, with the address to give to others.
    """
    from node.data_dir import DataDir
    from node.vault import open_vault

    given = context()
    config = given.load(given_settings())
    key_of = partial(open_vault, DataDir(config.data_dir).vault_path, opener(config, passphrase_fd))

    def on_ready(identity: "Identity") -> None:
        if given.is_json:
            print_json(identity, lines=True)
        else:
            click.echo(f"ready: {' '.join(identity.addresses) or identity.peer_id}")

    cast(Process, import_module("node.process")).run(config, key_of, on_ready=on_ready)
