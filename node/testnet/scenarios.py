"""The library of scenarios: stories that `conclave testnet scenario` plays, each with a verdict of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol, cast


class Play(Protocol):
    """A scenario's own module."""

    def play(self, *, seed: int, is_json: bool, keep: bool, quick: bool) -> bool:
        """Play it, print it and its verdict; true when every line of the verdict holds."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story."""

    summary: str
    module: str


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "offline": Scenario(
        "4 members, never more than 2 awake, and 2 mailboxes that keep what the others miss", "node.testnet.offline"
    ),
}
"""Every scenario by its name."""


def play(name: str, *, seed: int, is_json: bool, keep: bool, quick: bool) -> bool:
    """Play one of them; true when every line of its verdict holds."""
    module = cast(Play, import_module(SCENARIOS[name].module))
    return module.play(seed=seed, is_json=is_json, keep=keep, quick=quick)
