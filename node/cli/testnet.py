"""`conclave testnet`: real nodes of this machine, scripted and judged."""

import json
import secrets
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

import click

from node.cli.context import common, context
from node.cli.exits import Exit


class Testnet(Protocol):
    """What `node.testnet` is for this command."""

    def demo(self, *, nodes: int, rounds: int, seed: int, is_json: bool, keep: bool) -> bool:
        """Play the demo, print it and its verdict; true when every line of the verdict holds."""


class Scenarios(Protocol):
    """What `node.testnet.scenarios` is for this command."""

    SCENARIOS: Mapping[str, Any]

    def play(self, name: str, *, seed: int, is_json: bool, keep: bool, quick: bool) -> bool:
        """Play it, print it and its verdict; true when every line of the verdict holds."""


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


@testnet.command()
@click.argument("name", required=False)
@click.option("--quick", is_flag=True, help="The same story, much shorter.")
@click.option("--seed", type=int, default=None, help="Makes the script repeatable [default: random, printed].")
@click.option("--keep", is_flag=True, help="Keep the nodes' folders: stores, keys and logs.")
@common
def scenario(name: str | None, quick: bool, seed: int | None, keep: bool) -> None:
    """Play the scenario NAME and check its end; without NAME, list those there are.

    Exit code 0 means that every line of its verdict holds.
    """
    library = cast(Scenarios, import_module("node.testnet.scenarios"))
    if name is None:
        known = {name: each.summary for name, each in library.SCENARIOS.items()}
        lines = "\n".join(f"{name:10} {summary}" for name, summary in known.items())
        click.echo(json.dumps(known, indent=2) if context().is_json else lines)
        return
    if name not in library.SCENARIOS:
        raise click.BadParameter(f"there is no scenario {name!r}; there is: {', '.join(library.SCENARIOS)}")
    chosen = secrets.randbelow(1 << 32) if seed is None else seed
    if not library.play(name, seed=chosen, is_json=context().is_json, keep=keep, quick=quick):
        click.get_current_context().exit(Exit.FAILED)
