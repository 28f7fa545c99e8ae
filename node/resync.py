"""Coming back: how a cut-off member makes its *resync*, the external commit that brings it into the group again.

It knows the epoch's public state by itself. What it lacks is the epoch's external key, which any able member puts into
a GroupInfo that it signs. The GroupInfo has to be of the very epoch and history that we computed; but nothing public
shows whether the key in it is the right one, and a resync made with a wrong one opens for nobody. So several members
are asked, and what f + 1 voters agree on is taken. Where that many do not answer, what most say is tried after a while,
and then once more what others say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mls import (
    Extension,
    LeafNode,
    MlsError,
    PublicGroup,
    SignaturePrivateKey,
    basic,
    ed25519_sign,
    external_join,
    own_capabilities,
    vouched,
)
from node.building import Built
from node.context import NodeContext, group_config
from node.electorate import (
    PRIVATE_EXTENSIONS,
    VOTER_EXTENSION,
    RuleError,
    due_since,
    voter_extension,
    voter_of,
    voting_of,
)
from node.judgement import CANDIDATE_LABEL, Epoch
from node.logs import logger, short
from node.outward import Ask
from node.peer_id import PeerId
from node.peer_messages import GROUP_INFO_PROTOCOL, GroupInfoRequest, group_tag
from node.roster import Roster
from ordering import INTENT_ORDINAL, PLAIN_ORDINAL, Bundle, Candidate, VoterExtension, candidate_bytes, possession_bytes

if TYPE_CHECKING:
    from node.agreement import Agreement

ASKED_BESIDE_VOTERS_MAX: Final = 4  # members without a seat that are asked in a round
PATIENCE_ROUNDS: Final = 5  # until less than f + 1 equal answers are enough
AGAIN_ROUNDS: Final = 15  # from a resync that nobody decides until another is made
ATTEMPTS_MAX: Final = 6  # resyncs made in one epoch
ORDINALS: Final = (INTENT_ORDINAL, PLAIN_ORDINAL)  # of one attempt and the next, in turn

log = logger("resync")


@dataclass(frozen=True, slots=True)
class Told:
    """What a member vouched for: the external key, and the GroupInfo that says so."""

    external_pub: bytes
    group_info: bytes = field(repr=False)


class Resync:
    """The way back out of one epoch; made anew with every epoch in which we are cut off."""

    def __init__(
        self,
        context: NodeContext,
        epoch: Epoch,
        own_leaf: int,
        vote_key: SignaturePrivateKey,
        roster: Roster,
        *,
        made: int,
        ask: Callable[[Ask], None],
        offer: Callable[[Built], None],
    ) -> None:
        """`made` is how many resyncs of this epoch there are already: those of before a restart."""
        self.context = context
        self.epoch = epoch
        self.own_leaf = own_leaf
        self.next_round_s = float("-inf")
        self._vote_key = vote_key
        self._roster = roster
        self._made = made
        self._ask = ask
        self._offer = offer
        self._told: dict[int, Told] = {}  # by the leaf of who says so
        self._used: set[bytes] = set()  # external keys that a resync was made with
        self._useless: set[int] = set()  # leaves whose GroupInfo led to no commit
        self._rounds = 0  # since the beginning, or the last resync
        self._over = False

    def end(self) -> None:
        """The epoch was left; answers that are still on their way are for nobody."""
        self._over = True
        self.next_round_s = float("inf")

    def tick(self) -> None:
        """A round of questions when it is due: each Status period until a resync is made, then seldom."""
        now_s = self.context.now_s()
        if now_s < self.next_round_s:
            return
        self.next_round_s = now_s + self.context.config.ordering.status_period_ms / 1000
        self._rounds += 1
        self._make()
        if self._made >= ATTEMPTS_MAX:
            self.next_round_s = float("inf")
        elif not self._made or self._rounds % AGAIN_ROUNDS == 0:
            request = GroupInfoRequest(group_tag(self.epoch.public.group_id), self.epoch.public.epoch).encode()
            for peer in self._asked():
                self._ask(Ask((peer,), GROUP_INFO_PROTOCOL, request, self._answered))

    def _asked(self) -> Sequence[PeerId]:
        """All voters, and some of the others in turn."""
        voters = self._roster.other_voters
        beside = [peer for peer in self._roster.others if peer not in voters]
        start = self._rounds * ASKED_BESIDE_VOTERS_MAX % max(1, len(beside))
        return (*voters, *(beside[start:] + beside[:start])[:ASKED_BESIDE_VOTERS_MAX])

    def _answered(self, peer: PeerId, reply: bytes | None) -> None:
        """A GroupInfo, perhaps signed by another than who gives it. What is not of our epoch and history is dropped."""
        if reply is None or self._over or self._made >= ATTEMPTS_MAX:
            return
        try:
            said = vouched(self.epoch.public, reply)
        except MlsError as error:
            log.warning("GroupInfo refused", group=self._name, peer=peer, reason=str(error))
            return
        if said.external_pub is not None and said.signer != self.own_leaf and said.signer not in self._useless:
            self._told.setdefault(said.signer, Told(said.external_pub, reply))
            self._make()

    def _make(self) -> None:
        """Build and offer a resync when enough members agree on the key; raises nothing.

        What one of them signed may name the right key and be useless otherwise: then that of the next is taken.
        """
        while self._made < ATTEMPTS_MAX and not (self._made and self._rounds < AGAIN_ROUNDS):
            signer = self._chosen()
            if signer is None:
                return
            told, ordinal = self._told[signer], ORDINALS[self._made % len(ORDINALS)]
            try:
                self._offer(
                    build_resync(self.context, self.epoch, self.own_leaf, self._vote_key, told.group_info, ordinal)
                )
            except (MlsError, RuleError) as error:
                log.warning("no resync", group=self._name, signer=signer, reason=str(error))
                self._useless.add(signer)
                del self._told[signer]
                continue
            self._used.add(told.external_pub)
            self._made += 1
            self._rounds = 0
            log.info("resync offered", group=self._name, epoch=self.epoch.public.epoch)

    def _chosen(self) -> int | None:
        """Who vouches for the key that most voters do, of those not tried yet: once they are enough, or in the end."""
        committee = self.epoch.voting.committee
        said: dict[bytes, list[int]] = {}
        for leaf, told in self._told.items():
            if told.external_pub not in self._used:
                said.setdefault(told.external_pub, []).append(leaf)
        if not said:
            return None
        seated = {
            key: sum(committee.voter_of_leaf(leaf) is not None for leaf in leaves) for key, leaves in said.items()
        }
        best = max(said, key=lambda key: (seated[key], len(said[key])))
        if seated[best] <= committee.faults and self._rounds <= PATIENCE_ROUNDS:
            return None
        return said[best][0]

    @property
    def _name(self) -> str:
        return short(self.epoch.public.group_id)


def build_resync(
    context: NodeContext,
    epoch: Epoch,
    own_leaf: int,
    vote_key: SignaturePrivateKey,
    group_info: bytes,
    ordinal: int,
) -> Built:
    """The commit that puts a fresh leaf of ours in the place of the one we had; raises an `MlsError` or `RuleError`."""
    public, random = epoch.public, context.random
    suite, former = public.suite, public.leaf(own_leaf)
    if former is None:
        raise RuleError("we have no leaf to come back to")
    signer = suite.generate_signature_key(random)
    kept = tuple(each for each in former.extensions if each.extension_type != VOTER_EXTENSION)
    made = external_join(
        group_info,
        signer,
        basic(context.identity.bind(signer.public, suite.id)),
        own_capabilities(PRIVATE_EXTENSIONS),
        random,
        context.now_ms() // 1000,
        tree=public.tree.encode(),
        leaf_extensions=(*kept, *_offer_kept(public, own_leaf, former, vote_key, signer.public)),
        replaces=own_leaf,
        authenticated_data=epoch.instance,
        config=group_config(context.config),
    )
    bundle = Bundle(made.message, (), b"", voting_of(made.group.public).committee.descriptor)
    id = bundle.id(epoch.instance)
    signature = made.group.sign(CANDIDATE_LABEL, candidate_bytes(id, ordinal))
    return Built(Candidate(epoch.instance, made.group.own_leaf, ordinal, bundle, signature), id, made.group, ())


def _offer_kept(
    public: PublicGroup, own_leaf: int, former: LeafNode, vote_key: SignaturePrivateKey, signature_key: bytes
) -> tuple[Extension, ...]:
    """Our offer to vote, if we had made one with the key we hold, signed anew for the new leaf key."""
    offer = voter_of(former)
    if offer is None or offer.vote_key != vote_key.public:
        return ()
    since = due_since(public, own_leaf, former)
    possession = possession_bytes(public.group_id, signature_key, since)
    return (voter_extension(VoterExtension(vote_key.public, since, ed25519_sign(vote_key, possession))),)


def way_back(agreement: "Agreement") -> Resync | None:
    """How we come back into the group from this epoch; resyncs made before a restart are found on the disk.

    Not in an epoch that another copy of this node began by its own: two copies would take the leaf from each other
    for ever. A lone restored backup comes back once somebody else has committed.
    """
    if agreement.holding.extra.last_won(agreement.own_leaf) >= agreement.holding.epoch - 1:
        return None
    rows = agreement.context.store.candidates(agreement.holding.group_id, agreement.holding.epoch)
    made = sum(row.successor is not None for row in rows)
    return Resync(
        agreement.context,
        agreement.epoch,
        agreement.own_leaf,
        agreement.vote_key,
        agreement.roster,
        made=made,
        ask=agreement.outward.append,
        offer=lambda built: agreement.nominations.offer(agreement.candidacy.admit_own(built)),
    )
