"""Whole lives of a member: join by Welcome, then follow the others' commits.

Every case runs to its end: those that other implementations have played and published, and those recorded here.
"""

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from mls.config import GroupConfig
from mls.crypto import suite
from mls.entry import join
from mls.framing import MLSMessage
from mls.group import Group
from mls.key_packages import KeyPackage, KeyPackageBundle
from mls.psks import PskName, external_psk
from tests.mls.world import NOW
from tests.vectors import RECORDED, REQUIRED, ROOT, official, ran

TOLERANT = partial(GroupConfig, check_lifetimes=False, lifetime_max_s=None, check_suite_listed=False)
"""The published leaves have expired long ago, and some suite 7 packages do not list their suite."""


def bundle_of(case: dict[str, Any]) -> KeyPackageBundle:
    package = MLSMessage.decode(bytes.fromhex(case["key_package"])).body
    assert isinstance(package, KeyPackage)
    row = suite(case["cipher_suite"])
    init, encryption, signer = (bytes.fromhex(case[f"{name}_priv"]) for name in ("init", "encryption", "signature"))
    bundle = KeyPackageBundle(
        package, row.load_hpke_key(init), row.load_hpke_key(encryption), row.load_signature_key(signer)
    )
    public = (package.init_key, package.leaf_node.encryption_key, package.leaf_node.signature_key)
    assert public == (bundle.init_key.public, bundle.encryption_key.public, bundle.signer.public)
    return bundle


def play(case: dict[str, Any]) -> int:
    """How many epochs were followed: all of the case's.

    A recorded case may also have `messages` to open in the order given, at first and in every epoch, and a `removal`.
    """
    psks: dict[PskName, bytes] = {
        external_psk(bytes.fromhex(each["psk_id"])): bytes.fromhex(each["psk"]) for each in case["external_psks"]
    }
    tree = bytes.fromhex(case["ratchet_tree"]) if case["ratchet_tree"] else None
    welcome = bytes.fromhex(case["welcome"])
    group = join(welcome, [bundle_of(case)], tree=tree, now=NOW, config=TOLERANT(), psks=psks)
    assert group.epoch_authenticator.hex() == case["initial_epoch_authenticator"]
    group = heard(group, case.get("messages", ()))
    for epoch in case["epochs"]:
        proposals = [bytes.fromhex(each) for each in epoch["proposals"]]
        staged = group.stage(bytes.fromhex(epoch["commit"]), proposals=proposals, now=NOW, psks=psks)
        assert staged.successor is not None
        group = Group.from_bytes(staged.successor.to_bytes(), TOLERANT())
        assert group.epoch_authenticator.hex() == epoch["epoch_authenticator"]
        group = heard(group, epoch.get("messages", ()))
    if "removal" in case:
        assert group.stage(bytes.fromhex(case["removal"]), now=NOW).removed
    return len(case["epochs"])


def heard(group: Group, messages: Iterable[dict[str, Any]]) -> Group:
    for each in messages:
        group, opened = group.open(bytes.fromhex(each["message"]), NOW)
        assert (opened.sender_leaf, opened.plaintext.hex()) == (each["sender"], each["plaintext"])
    return group


@pytest.mark.parametrize(
    ("name", "cases"),
    [("passive-client-welcome", 56), ("passive-client-handling-commit", 91), ("passive-client-random", 1)],
)
def test_published_passive_clients(name: str, cases: int) -> None:
    """An independent view of joining, proposals, paths, PSKs and the key schedule together."""
    epochs = 0
    for case in official(name):
        epochs += play(case)
        ran(name)
    print(f"{name}: {epochs} epochs followed")
    assert len(official(name)) == cases


@pytest.mark.parametrize(("suite_id", "epochs"), [*((number, 4) for number in range(1, 8)), (0xF050, 2)])
def test_recorded_passive_clients(suite_id: int, epochs: int) -> None:
    """Fixed bytes for the classical suites and the default one, messages and the own removal included."""
    (case,) = (each for each in RECORDED.cases("passive-client") if each["cipher_suite"] == suite_id)
    assert play(case) == epochs
    RECORDED.ran("passive-client")


def interop(name: str) -> list[dict[str, Any]]:
    path = ROOT / "interop-passive" / f"{name}.json"
    if not path.is_file():
        reason = f"the published MLS vectors are not here: no interop-passive/{name}.json (set CONCLAVE_VECTORS)"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    cases: list[dict[str, Any]] = json.loads(path.read_text())
    return cases


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("welcome_join", 56),
        ("application", 42),
        ("commit", 308),
        ("external_proposals", 196),
        ("external_join", 42),
        ("reinit", 336),
        ("branch", 224),
    ],
)
def test_interop_passive_clients(name: str, cases: int) -> None:
    """Scripts that other implementations played together."""
    epochs = 0
    for case in interop(name):
        epochs += play(case)
        ran(f"interop-passive/{name}")
    print(f"interop-passive/{name}: {epochs} epochs followed")
    assert len(interop(name)) == cases
