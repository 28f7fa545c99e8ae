"""A commit from outside is hard-valid as the resync of the member whose leaf it removes, and as nothing else."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from trio.testing import MockClock

from mls import (
    Extension,
    Group,
    GroupConfig,
    LeafNode,
    Policy,
    PskName,
    basic,
    ed25519_generate,
    ed25519_sign,
    external_join,
    external_psk,
    own_capabilities,
)
from node.admission import place_of
from node.electorate import PRIVATE_EXTENSIONS, VOTER_EXTENSION, RuleError, voter_extension, voting_of
from node.judgement import CANDIDATE_LABEL, HardValid, judge_hard
from node.resync import build_resync
from ordering import Bundle, Candidate, ProposalClass, VoterExtension, candidate_bytes, possession_bytes
from tests.node.world import Member, open_world

FOUR = ("ada", "bob", "cyn", "dan")


class Anyone(Policy):
    """What a forger's engine lets through."""

    def client_of(self, leaf: LeafNode) -> str:
        return "anyone"


def info(member: Member) -> bytes:
    return member.session.agreement.group.group_info(inline_tree=False, external_pub=True)


def honest(member: Member) -> Candidate:
    """What the member would make if it had lost its secrets."""
    agreement = member.session.agreement
    key = member.session.holding.vote_key
    return build_resync(
        member.node.context, agreement.epoch, agreement.own_leaf, key, agreement.group_info, 0
    ).candidate


def forged(
    member: Member,
    *,
    replaces: int | None = None,
    extensions: Sequence[Extension] = (),
    inject: Sequence[PskName] = (),
    instance: bytes | None = None,
) -> tuple[Bundle, Group]:
    """An external commit of the member's own making, and the group as it would be in it."""
    agreement, context = member.session.agreement, member.node.context
    public = agreement.public
    signer = public.suite.generate_signature_key(os.urandom)
    made = external_join(
        info(member),
        signer,
        basic(context.identity.bind(signer.public, public.suite.id)),
        own_capabilities(PRIVATE_EXTENSIONS),
        os.urandom,
        context.now_ms() // 1000,
        tree=public.tree.encode(),
        leaf_extensions=tuple(extensions),
        replaces=replaces,
        inject=inject,
        psks=dict.fromkeys(inject, bytes(32)),
        authenticated_data=agreement.epoch.instance if instance is None else instance,
        config=GroupConfig(policy=Anyone()),
    )
    elected = agreement.epoch.voting if extensions else voting_of(made.group.public)
    return Bundle(made.message, (), b"", elected.committee.descriptor), made.group


def judged(judge: Member, bundle: Bundle, group: Group, *, author: int | None = None) -> HardValid:
    """What another makes of it, in the wrapper that its author gives it."""
    epoch = judge.session.agreement.epoch
    signature = group.sign(CANDIDATE_LABEL, candidate_bytes(bundle.id(epoch.instance), 0))
    author = group.own_leaf if author is None else author
    return judge_hard(epoch, Candidate(epoch.instance, author, 0, bundle, signature))


async def test_a_member_comes_back_as_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    """With its seat, its vote key, and the epoch it has been willing since; first in line, unless it won lately."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, _ = await world.group_of(*FOUR, committee=4)
        epoch, leaf_index = ada.session.agreement.epoch, cyn.session.agreement.own_leaf

        valid = judge_hard(epoch, honest(cyn))

        assert valid.replaced == leaf_index
        assert valid.staged.committer == place_of(epoch.public, leaf_index)
        before, after = epoch.voting.committee, valid.voting.committee
        assert [seat.vote_key for seat in after.seats] == [seat.vote_key for seat in before.seats]
        assert [seat.since for seat in after.seats] == [seat.since for seat in before.seats]
        ended = epoch.public.epoch
        assert valid.class_after(ended - 2) is ProposalClass.URGENT
        assert valid.class_after(ended - 1) is ProposalClass.ORDINARY, "whose own commit began the epoch is not cut off"
        assert bob.session.agreement.group.stage(honest(cyn).bundle.commit, now=0).successor is not None


async def test_nobody_else_commits_itself_in(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Neither a stranger, nor a member in another's place, nor in two places, nor with anything beside."""
    async with open_world(tmp_path) as world:
        ada, bob, _, dan = await world.group_of(*FOUR, committee=4)
        eve = await world.member("eve")
        own, others = dan.session.agreement.own_leaf, bob.session.agreement.own_leaf

        with pytest.raises(RuleError, match="nobody commits itself in"):
            judged(ada, *forged(dan))
        with pytest.raises(RuleError, match="another's leaf"):
            judged(ada, *forged(dan, replaces=others))
        with pytest.raises(RuleError, match="more than to bring its member back"):
            judged(ada, *forged(dan, replaces=own, inject=(external_psk(b"known to some"),)))
        with pytest.raises(RuleError, match="another instance"):
            judged(ada, *forged(dan, replaces=own, instance=bytes(32)))
        stranger_node, stranger = eve.node.context, dan.node.context
        dan.node.context.identity, kept = stranger_node.identity, dan.node.context.identity
        try:
            for replaces in (None, own, others):
                with pytest.raises(RuleError, match=r"nobody commits itself in|another's leaf"):
                    judged(ada, *forged(dan, replaces=replaces))
        finally:
            stranger.identity = kept


async def test_the_wrapper_is_its_new_leafs(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whoever relays it under another name, or signs it with the key of the old leaf, is at fault, not the author."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        candidate, epoch = honest(cyn), ada.session.agreement.epoch
        for author in (ada.session.agreement.own_leaf, 17):
            with pytest.raises(RuleError, match="not the leaf that its commit creates"):
                judge_hard(epoch, msgspec.structs.replace(candidate, author=author))
        with pytest.raises(RuleError, match="not signed by its author"):
            judge_hard(epoch, msgspec.structs.replace(candidate, ordinal=1))
        with pytest.raises(RuleError, match="not signed by its author"):
            judged(ada, candidate.bundle, cyn.session.agreement.group)
        with pytest.raises(RuleError, match="not signed by its author"):
            judged(ada, candidate.bundle, dan.session.agreement.group, author=candidate.author)
        for judge in (bob, dan):
            assert judge.session.agreement.candidacy.author_of(msgspec.structs.replace(candidate, author=0)) is None


async def test_it_takes_no_better_place_along(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Neither an older claim to a seat, nor another's vote key, nor one that nobody shows to hold."""
    async with open_world(tmp_path) as world:
        ada, bob, _, dan = await world.group_of(*FOUR, committee=4)
        own, public = dan.session.agreement.own_leaf, ada.session.agreement.public
        key = ed25519_generate(os.urandom)
        for since in (0, public.epoch):
            signer = public.suite.generate_signature_key(os.urandom)
            offer = VoterExtension(
                key.public, since, ed25519_sign(key, possession_bytes(public.group_id, signer.public, since))
            )
            with pytest.raises(RuleError, match="has not signed this leaf"):
                judged(ada, *forged(dan, replaces=own, extensions=(voter_extension(offer),)))
        former = public.leaf(bob.session.agreement.own_leaf)
        assert former is not None
        copied = tuple(each for each in former.extensions if each.extension_type == VOTER_EXTENSION)
        with pytest.raises(RuleError, match=r"has not signed this leaf|share a vote key"):
            judged(ada, *forged(dan, replaces=own, extensions=copied))
        assert judged(ada, *forged(dan, replaces=own)).voting.committee.voter_of_leaf(own) is None, "it may opt out"
