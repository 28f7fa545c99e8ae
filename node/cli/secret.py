"""The passphrase on the command line: from a file descriptor or asked for, never as an argument."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from node.config import Config
    from node.vault import Opener, StoreKey

passphrase_fd = click.option(
    "--passphrase-fd", type=click.IntRange(min=0), metavar="N", help="Read the passphrase from file descriptor N."
)


def store_key(config: "Config", descriptor: int | None) -> "StoreKey":
    """The key of the node's store; asks for the passphrase on a terminal when nothing else gives it."""
    from node.setup import open_key

    return open_key(config, descriptor, ask_once if sys.stdin.isatty() else None)


def opener(config: "Config", descriptor: int | None) -> "Opener":
    """What opens the node's vault, to be tried later; asks as `store_key` does."""
    from node.opening import opener_of

    return opener_of(config, descriptor, ask_once if sys.stdin.isatty() else None)


def ask_once() -> bytes:
    """The passphrase, typed once."""
    value: str = click.prompt("Passphrase", hide_input=True, err=True)
    return value.encode()


def ask_twice() -> bytes:
    """A new passphrase, typed twice."""
    value: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt="Once more", err=True)
    return value.encode()
