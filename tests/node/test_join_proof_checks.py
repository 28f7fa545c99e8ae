"""The node's own checks of a JoinProof taken out in turn, against real groups: what each alone refuses is let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

import node.joining
from mls import Group, KeyPackageBundle, add, ed25519_generate, ed25519_sign, join, remove
from node.building import build_for_intents
from node.electorate import RuleError
from node.joining import check_known, check_proof, check_seating
from node.planning import Plan
from node.rule_versions import check_rules
from ordering import Certificate, Decision, JoinProof, Policy, VoteKind, instance_id, vote_bytes
from tests.node.chain_world import Chance
from tests.node.test_joining import (
    GROUP_ID,
    NOW,
    Circle,
    Person,
    announcing,
    descriptor_of,
    key_package,
    replace_rules,
)
from tests.without import without

Forged = tuple[JoinProof, Group]


def entered(built_welcome: bytes, bundle: KeyPackageBundle) -> Group:
    """The group that the Welcome leads to; MLS has nothing against it."""
    return join(built_welcome, [bundle], tree=None, now=NOW)


def circle() -> Circle:
    """Ada votes alone; bob and cyn are members, cyn is willing to vote."""
    made = Circle(Person("ada"))
    made.let_in(Person("bob"), votes=False)
    made.let_in(Person("cyn"), votes=True)
    return made


def newcomer() -> KeyPackageBundle:
    """Eve's key package."""
    return key_package(Person("eve").identity, Chance(99))


def true_proof() -> Forged:
    """Bob adds eve, and the committee decides it."""
    made, bundle = circle(), newcomer()
    built = made.build(made.members[1], Plan((add(bundle.key_package),)))
    return made.proof(built, made.certify(built)), entered(built.candidate.bundle.welcome, bundle)


def another_past() -> Forged:
    """(1) The proof is of another history than the group's."""
    proof, group = true_proof()
    return msgspec.structs.replace(proof, interim_transcript_hash=bytes(32)), group


def own_committee() -> Forged:
    """(5) Cyn seats herself alone, where ada ranks before her."""
    made, bundle = circle(), newcomer()
    cyn = made.members[2]
    built = made.build(cyn, Plan((add(bundle.key_package),)), [cyn.vote_key])
    return made.proof(built, made.certify(built, [cyn.vote_key])), entered(built.candidate.bundle.welcome, bundle)


def strangers() -> Forged:
    """(6) Four voters that the tree knows nothing of decide, and the commit can have taken out two at most."""
    made, bundle = circle(), newcomer()
    bob = made.members[1]
    invented = [ed25519_generate(bob.random) for _ in range(4)]
    built = made.build(bob, Plan((remove(0), add(bundle.key_package))), invented)
    return made.proof(built, made.certify(built, invented)), entered(built.candidate.bundle.welcome, bundle)


def other_announcement() -> Forged:
    """The bundle tells relays and joiners of a committee of bob, which nobody elected."""
    made, bundle = circle(), newcomer()
    bob = made.members[1]
    built = announcing(bob, made.build(bob, Plan((add(bundle.key_package),))), descriptor_of([bob.vote_key]))
    return made.proof(built, made.certify(built)), entered(built.candidate.bundle.welcome, bundle)


def other_rules() -> Forged:
    """A group whose ordering this node does not know."""
    made, bundle = Circle(Person("ada"), Policy(rules=1)), newcomer()
    ada = made.members[0]
    assert ada.group is not None
    descriptor = replace_rules(descriptor_of(made.keys()), 1)
    instance = instance_id(GROUP_ID, 0, descriptor, made.prev)
    built = build_for_intents(ada.group, instance, Plan((add(bundle.key_package),)), ada.vote_key, ada.random, NOW)
    vote = ed25519_sign(ada.vote_key, vote_bytes(instance, VoteKind.FINALIZE, 0, 0, built.id))
    certificate = Certificate(instance, VoteKind.FINALIZE, 0, built.id, ((0, vote),))
    decision = Decision(GROUP_ID, 0, made.prev, descriptor, certificate)
    return made.proof(built, decision), entered(built.candidate.bundle.welcome, bundle)


def shared_vote_key() -> Forged:
    """A tree that no honest committee let through: two leaves vote with one key."""
    ada, bob, bundle = Person("ada"), Person("bob"), newcomer()
    bob.vote_key = ada.vote_key
    made = Circle(ada)
    made.let_in(bob, votes=True)
    built = made.build(ada, Plan((add(bundle.key_package),)))
    return made.proof(built, made.certify(built)), entered(built.candidate.bundle.welcome, bundle)


@dataclass(frozen=True)
class Forgery:
    """What is shown, and the words of the check that refuses it."""

    name: str
    mark: str
    forge: Callable[[], Forged]


FORGERIES = (
    Forgery("(1) another past", "join proof (1)", another_past),
    Forgery("(5) a committee of one's own", "check_seating", own_committee),
    Forgery("(6) a committee of strangers", "check_known", strangers),
    Forgery("another committee announced", "announces another committee", other_announcement),
    Forgery("other rules", "check_rules", other_rules),
    Forgery("a tree that breaks rules", "check_tree", shared_vote_key),
)


def test_the_true_proof_passes() -> None:
    """Otherwise the rest would show nothing."""
    proof, group = true_proof()
    assert check_proof(proof, group).epoch == group.epoch


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_only_this_check_refuses(forgery: Forgery) -> None:
    """With the check: refused. Without it, and with all the others: let in."""
    proof, group = forgery.forge()
    with pytest.raises(RuleError):
        check_proof(proof, group)

    without(check_proof, forgery.mark)(proof, group)


def test_every_check_is_taken_out() -> None:
    """Whoever adds a check adds its forgery; those of `check_join_proof` are taken out in the ordering's tests."""
    with open(node.joining.__file__) as file:
        body = file.read().partition("def check_proof")[2].partition("\ndef ")[0]
    called = ("check_tree", check_seating.__name__, check_known.__name__, check_rules.__name__)
    calls = sum(body.count(f"    {name}(") for name in called)
    assert body.count("raise WelcomeRefusedError") + calls == len(FORGERIES)
