"""Whole lives of a member, played by other implementations: join by Welcome, then follow their commits.

Cases that need pre-shared keys, external commits or reinitialisation stop where they ask for it; how many ran to the
end, and how many wait for those, is printed and checked.
"""

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest

from mls.config import GroupConfig
from mls.crypto import suite
from mls.errors import InvalidError
from mls.framing import MLSMessage
from mls.group import Group, join
from mls.key_packages import KeyPackage, KeyPackageBundle
from tests.mls.world import NOW
from tests.vectors import ROOT, official, ran

TOLERANT = partial(GroupConfig, check_lifetimes=False, lifetime_max_s=None, check_suite_listed=False)
"""The published leaves have expired long ago, and some suite 7 packages do not list their suite."""

LATER = {"V149": "pre-shared keys", "V185": "pre-shared keys", "V130": "reinitialisation", "V147": "external commits"}


def bundle_of(case: dict[str, Any]) -> KeyPackageBundle:
    package = MLSMessage.decode(bytes.fromhex(case["key_package"])).body
    assert isinstance(package, KeyPackage)
    row = suite(case["cipher_suite"])
    init, encryption, signer = (bytes.fromhex(case[f"{name}_priv"]) for name in ("init", "encryption", "signature"))
    return KeyPackageBundle(
        package, row.load_hpke_key(init), row.load_hpke_key(encryption), row.load_signature_key(signer)
    )


def play(case: dict[str, Any]) -> tuple[str, int]:
    """("done" or what the case waits for, epochs followed)."""
    tree = bytes.fromhex(case["ratchet_tree"]) if case["ratchet_tree"] else None
    followed = 0
    try:
        group: Group = join(bytes.fromhex(case["welcome"]), [bundle_of(case)], tree=tree, now=NOW, config=TOLERANT())
        assert group.epoch_authenticator.hex() == case["initial_epoch_authenticator"]
        for epoch in case["epochs"]:
            proposals = [bytes.fromhex(each) for each in epoch["proposals"]]
            staged = group.stage(bytes.fromhex(epoch["commit"]), proposals=proposals, now=NOW)
            assert staged.successor is not None
            group = Group.from_bytes(staged.successor.to_bytes(), TOLERANT())
            assert group.epoch_authenticator.hex() == epoch["epoch_authenticator"]
            followed += 1
    except InvalidError as refused:
        if refused.rule in LATER:
            return LATER[refused.rule], followed
        raise
    return "done", followed


@pytest.mark.parametrize(
    ("name", "done", "later"),
    [("passive-client-welcome", 28, 28), ("passive-client-handling-commit", 0, 91), ("passive-client-random", 1, 0)],
)
def test_published_passive_clients(name: str, done: int, later: int) -> None:
    """An independent view of joining, proposals, paths and the key schedule together."""
    outcomes: Counter[str] = Counter()
    epochs = 0
    for case in official(name):
        outcome, followed = play(case)
        outcomes[outcome] += 1
        epochs += followed
        if outcome == "done":
            ran(name)
    print(f"{name}: {dict(outcomes)}, {epochs} epochs followed")
    assert (outcomes["done"], outcomes.total() - outcomes["done"]) == (done, later)


def interop(name: str) -> list[dict[str, Any]]:
    path = ROOT / "interop-passive" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"the published MLS vectors are not here: no interop-passive/{name}.json (set CONCLAVE_VECTORS)")
    cases: list[dict[str, Any]] = json.loads(path.read_text())
    return cases


@pytest.mark.parametrize(
    ("name", "done", "later"),
    [
        ("welcome_join", 42, 14),
        ("application", 42, 0),
        ("commit", 294, 14),
        ("external_proposals", 112, 84),
        ("external_join", 14, 28),
        ("reinit", 336, 0),
        ("branch", 224, 0),
    ],
)
def test_interop_passive_clients(name: str, done: int, later: int) -> None:
    """Scripts that other implementations played together."""
    outcomes: Counter[str] = Counter()
    epochs = 0
    for case in interop(name):
        outcome, followed = play(case)
        outcomes[outcome] += 1
        epochs += followed
    print(f"interop-passive/{name}: {dict(outcomes)}, {epochs} epochs followed")
    assert (outcomes["done"], outcomes.total() - outcomes["done"]) == (done, later)
