"""No leaf enters a group without its peer's own signature over it, whoever commits it and however."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mls import LeafChange, add, basic, create_key_package, own_capabilities, suite
from node.building import Built
from node.directory import lifetime_from
from node.electorate import PRIVATE_EXTENSIONS, RuleError, check_tree
from node.identity import Identity
from node.judgement import judge_hard
from node.planning import Plan
from ordering import Bundle
from tests.node.test_hostile_member import offer, signed
from tests.node.world import SUITE, Member, open_world

VICTIM = Identity.generate(os.urandom)
MALLORY = Identity.generate(os.urandom)
ELSEWHERE = suite(SUITE).generate_signature_key(os.urandom)


def stolen(key: bytes) -> bytes:
    """The victim's peer key, signed by somebody else."""
    return MALLORY.bind(key, SUITE).replace(MALLORY.public_key, VICTIM.public_key)


def replayed(_: bytes) -> bytes:
    """A binding that the victim made, for another leaf."""
    return VICTIM.bind(ELSEWHERE.public, SUITE)


def of_another_suite(key: bytes) -> bytes:
    """A binding that was made for this key, in another suite."""
    return VICTIM.bind(key, SUITE + 1)


def unsigned(_: bytes) -> bytes:
    """Any credential of RFC 9420, which says what it likes."""
    return b"victim"


def longer(key: bytes) -> bytes:
    """A true binding in another encoding: one peer could have two names."""
    return b"\xdc\x00\x03" + VICTIM.bind(key, SUITE)[1:]


FORGERIES = (stolen, replayed, of_another_suite, unsigned, longer)


def commit(member: Member, plan: Plan, change: LeafChange | None = None) -> Built:
    """What a changed node could offer to the others; ours would not make it."""
    agreement = member.session.agreement
    group, instance = agreement.group, agreement.epoch.instance
    now = member.node.context.now_ms() // 1000
    made = group.commit(
        os.urandom, now, proposals=plan.proposals, authenticated_data=instance, leaf=change, force_path=True
    )
    bundle = Bundle(made.message, (), made.welcome or b"", agreement.epoch.voting.committee.descriptor)
    return Built(signed(bundle, member), bundle.id(instance), made.successor, ())


def added(member: Member, identity: Callable[[bytes], bytes]) -> Built:
    """A commit that adds a leaf with this credential."""
    signer = suite(SUITE).generate_signature_key(os.urandom)
    bundle = create_key_package(
        SUITE,
        basic(identity(signer.public)),
        signer,
        lifetime_from(member.node.context.now_ms() // 1000),
        own_capabilities(PRIVATE_EXTENSIONS),
        (),
        (),
        os.urandom,
    )
    return commit(member, Plan((add(bundle.key_package),)))


def renewed(member: Member, identity: Callable[[bytes], bytes]) -> Built:
    """A commit that gives its author's own leaf this credential, with new keys."""
    signer = suite(SUITE).generate_signature_key(os.urandom)
    change = LeafChange(credential=basic(identity(signer.public)), signer=signer)
    return commit(member, Plan(), change)


async def refused_by_all(built: Built, by: Member, others: tuple[Member, ...], says: str = "credential") -> None:
    offer(built.candidate, by, *others)
    await trio.testing.wait_all_tasks_blocked()
    for member in others:
        with pytest.raises(RuleError, match=says):
            judge_hard(member.session.agreement.epoch, built.candidate)
        assert member.session.agreement.known[built.id].valid is None


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
async def test_a_leaf_whose_binding_does_not_verify_never_enters_a_group(
    forgery: Callable[[bytes], bytes], tmp_path: Path, autojump_clock: MockClock
) -> None:
    """By an Add or in its committer's own path: every member finds the commit invalid by itself, and whoever were
    welcomed into such a tree would not come in."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        for made in (added(dan, forgery), renewed(dan, forgery)):
            await refused_by_all(made, dan, (ada, bob, cyn))
            with pytest.raises(RuleError):
                check_tree(made.successor.public)
        true = added(dan, lambda key: VICTIM.bind(key, SUITE))
        assert judge_hard(ada.session.agreement.epoch, true.candidate).id == true.id
        check_tree(true.successor.public)


async def test_a_member_cannot_become_another_peer(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nor with a binding that is true: a leaf stays its peer's."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        made = renewed(dan, lambda key: VICTIM.bind(key, SUITE))
        await refused_by_all(made, dan, (ada, bob, cyn), "would pass to another peer")


async def test_no_peer_has_two_leaves(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        identity = ada.node.context.identity
        made = added(dan, lambda key: identity.bind(key, SUITE))
        await refused_by_all(made, dan, (ada, bob, cyn), "a peer has two leaves")
