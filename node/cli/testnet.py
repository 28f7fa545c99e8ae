"""`conclave testnet`: real nodes of this machine, scripted and judged."""

import secrets
from importlib import import_module
from typing import Protocol, cast

import click

from node.cli.context import common, context
from node.cli.exits import Exit


class Testnet(Protocol):
    """What `node.testnet` is for this command."""

    def demo(self, *, nodes: int, rounds: int, seed: int, is_json: bool, keep: bool) -> bool:
        """Play the demo, print it and its verdict; true when every line of the verdict holds."""


@click.group()
def testnet() -> None:
    """Networks of real nodes on this machine."""


@testnet.command()
@click.option("--nodes", type=click.IntRange(4, 16), default=4, show_default=True, help="How many daemons.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many rounds.")
@click.option("--seed", type=int, default=None, help="Makes the script repeatable [default: random, printed].")
@click.option("--keep", is_flag=True, help="Keep the nodes' folders: stores, keys and logs.")
@common
def demo(nodes: int, rounds: int, seed: int | None, keep: bool) -> None:
    """Play a whole story and check its end.

    Rival commits, messages, a removal, a crash and a loss, on NODES real daemons.

    Exit code 0 means that every line of the verdict holds.
    """
    chosen = secrets.randbelow(1 << 32) if seed is None else seed
    network = cast(Testnet, import_module("node.testnet"))
    if not network.demo(nodes=nodes, rounds=rounds, seed=chosen, is_json=context().is_json, keep=keep):
        click.get_current_context().exit(Exit.FAILED)
