"""Planning a commit: every open intent in the light of the present epoch, and what one commit would carry of them.

Each kind of intent has one *rule*, a pure function that says whether the intent is already so, has to wait, or what
proposals carry it out; it raises when the intent is no longer possible. A new kind is one entry in `KINDS`.

What other members want is carried along where their kind allows and our own rights do. A wish of theirs that cannot
be had is left out; it never fails, and it never stands in the way of the rest.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from mls import (
    Group,
    KeyPackage,
    LeafNode,
    MlsError,
    Proposal,
    ProposalType,
    PublicGroup,
    add,
    decode_key_package,
    group_context_extensions,
    remove,
    self_remove,
)
from node.electorate import (
    POLICY_EXTENSION,
    RuleError,
    can_go_on,
    peer_of,
    policy_extension,
    policy_of,
    voter_of,
    voting_of,
)
from node.folding import Wanted
from node.intents import (
    ADD,
    ALREADY,
    BENCH,
    FAILED,
    LEAVE,
    OPT_IN,
    OPT_OUT,
    POLICY,
    READD,
    REMOVE,
    UPDATE,
    AddBody,
    RemoveBody,
)
from node.judgement import HardValid
from node.peer_id import PeerId
from node.policies import BenchBody, PolicyBody, amended, check_wish, is_wanted, pruned
from node.store_rows import IntentRow
from ordering import OrderingError, Policy

PROPOSALS_PER_COMMIT_MAX: Final = 128
PROPOSALS_SIZE_MAX: Final = 384 * 1024  # of one commit's wishes together, so that a bundle fits in a frame
WISHES_JUDGED_MAX: Final = 512  # of others, the fairest first, in one plan
KEY_PACKAGES_READ_MAX: Final = 1024

SOLE_VOTER: Final = (
    "without this node nobody could vote, and the group could never change again: have another member offer itself as "
    "a voter first (there: conclave group opt-in)"
)
LAST_MEMBER: Final = "this node is the only member: there is nobody to leave the group to"


@dataclass(frozen=True, slots=True)
class Settled:
    """An intent that needs no commit of ours any more."""

    intent: IntentRow
    state: str  # ALREADY or FAILED
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What our next commit of this epoch would carry, and for which intents."""

    proposals: tuple[Proposal, ...] = ()
    references: tuple[bytes, ...] = ()  # other members' proposal messages
    intents: tuple[IntentRow, ...] = ()
    folded: tuple[Wanted, ...] = ()  # what it carries for other members
    opt_in: bool = False
    opt_out: bool = False
    settled: tuple[Settled, ...] = ()
    is_urgent: bool = False  # it carries removals and leaves the rest for later

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.intents or self.folded)


class Fate(Enum):
    """What a rule says of an intent that no commit of this epoch is to carry."""

    ALREADY = 1  # it is so: done by somebody else, or before it was asked for
    WAITS = 2  # for a later epoch, or until nothing else in this commit touches the same


@dataclass(frozen=True, slots=True)
class Take:
    """What carries an intent out: proposals by value or reference, or a change of the committer's own leaf."""

    proposals: tuple[Proposal, ...] = ()
    references: tuple[bytes, ...] = ()
    touches: tuple[str, ...] = ()  # names that one change of a commit may touch; a second waits
    opt_in: bool = False
    opt_out: bool = False
    policy: Policy | None = None  # the ordering policy from then on

    @property
    def cost(self) -> int:
        """How many proposals."""
        return len(self.proposals) + len(self.references) + (self.policy is not None)


@dataclass(slots=True)
class Draft:
    """The commit as planned so far, and the epoch it would end."""

    group: Group
    may_opt_in: bool
    members: dict[PeerId, tuple[int, LeafNode]]  # with the leaf index
    is_urgent: bool = False  # removals and bench entries only, so that the commit is of class 0
    proposals: list[Proposal] = field(default_factory=list)
    references: list[bytes] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    size: int = 0
    opt_in: bool = False
    opt_out: bool = False
    policy: Policy | None = None

    @property
    def own(self) -> LeafNode | None:
        """Our own leaf."""
        return self.group.public.leaf(self.group.own_leaf)

    def are_pinned(self, pins: Container[bytes], author: int) -> bool:
        """Whether we, and who wants something of us, have the rights of pinned members."""
        peers = (peer for peer, (leaf_index, _) in self.members.items() if leaf_index in (self.group.own_leaf, author))
        return all(peer.encode() in pins for peer in peers)

    @property
    def gone(self) -> frozenset[int]:
        """The members that are no more after it, as far as it is planned."""
        return frozenset(self.members[name][0] for name in self.touched if name in self.members)

    def can_lose(self, leaf_index: int) -> bool:
        """Whether somebody can vote without this member too."""
        public = self.group.public
        return can_go_on(public, voting_of(public), self.gone | {leaf_index})

    def judge(self, kind: str, body: bytes, author: int) -> Take | Fate:
        """What the rule of an intent's kind says; raises what it raises."""
        known = KINDS.get(kind)
        if known is None:
            raise RuleError(f"this version does not know intents of kind {kind!r}")
        if author != self.group.own_leaf and not known.is_shared:
            raise RuleError("only its author can carry this out")
        found = known.rule(self, body, author)
        if not isinstance(found, Take):
            return found
        left_out = self.is_urgent and found.cost > 0 and not known.is_urgent
        count = len(self.proposals) + len(self.references) + found.cost
        is_full = found.cost and (
            count > PROPOSALS_PER_COMMIT_MAX or (self.size and self.size + len(body) > PROPOSALS_SIZE_MAX)
        )
        return Fate.WAITS if left_out or is_full or not self.touched.isdisjoint(found.touches) else found

    def take(self, change: Take, size: int) -> None:
        """Carry a change with this commit."""
        self.proposals += change.proposals
        self.references += change.references
        self.touched.update(change.touches)
        self.size += size
        self.opt_in, self.opt_out = self.opt_in or change.opt_in, self.opt_out or change.opt_out
        self.policy = change.policy or self.policy

    @property
    def wanted_policy(self) -> Policy:
        """The ordering policy as far as it is planned; that of the epoch if nothing of it changes."""
        return self.policy or policy_of(self.group.public.extensions)

    @property
    def amends(self) -> bool:
        """Whether more of the policy than its bench is planned to change."""
        present = policy_of(self.group.public.extensions)
        return self.wanted_policy.benching(()) != present.benching(())


def plan(
    group: Group,
    intents: Sequence[IntentRow],
    *,
    may_opt_in: bool,
    others: Sequence[Wanted] = (),
    may_hurry: bool = True,
) -> Plan:
    """Look at every open intent of ours, oldest first, and at what `others` want, fairest first.

    In each round our own comes first and then one wish of each other member, until the commit is full. `may_opt_in` is
    false while the group is unconfirmed. With `may_hurry`, removals that we want go alone, ahead of everything else
    (class 0). What somebody else wants removed hurries in its own commit: or who offered a removal and never made it
    would keep everything else waiting here.

    Two intents that cannot share a commit (both adding one peer, say) are taken one after the other: the second is
    left for a later epoch, where it will have settled itself.
    """
    members = {peer_of(group.public, leaf): (leaf_index, leaf) for leaf_index, leaf in group.public.leaves()}
    draft = Draft(group, may_opt_in, members)
    draft.is_urgent = may_hurry and _has_removal(draft, intents)
    carried: list[IntentRow] = []
    folded: list[Wanted] = []
    settled: list[Settled] = []
    for intent, wanted in _interleaved(intents, others[:WISHES_JUDGED_MAX]):
        if intent is not None:
            try:
                found = draft.judge(intent.kind, intent.body, group.own_leaf)
            except (MlsError, OrderingError, RuleError) as error:
                settled.append(Settled(intent, FAILED, str(error)))
                continue
            if isinstance(found, Take):
                draft.take(found, len(intent.body))
                carried.append(intent)
            elif found is Fate.ALREADY:
                settled.append(Settled(intent, ALREADY))
        elif wanted is not None:
            found = _wish(draft, wanted)
            if isinstance(found, Take):
                draft.take(found, len(wanted.body))
                folded.append(wanted)
    if draft.policy is not None:
        draft.proposals.append(_context_with(draft.group, draft.policy))
    return Plan(
        tuple(draft.proposals),
        tuple(draft.references),
        tuple(carried),
        tuple(folded),
        draft.opt_in,
        draft.opt_out,
        tuple(settled),
        draft.is_urgent,
    )


@dataclass(frozen=True, slots=True)
class Effects:
    """What a commit does to the members."""

    added: frozenset[PeerId]
    removed: frozenset[PeerId]
    leaving: frozenset[int]  # leaf indices among the removed
    policy: Policy | None  # the ordering policy after it


NO_EFFECTS: Final = Effects(frozenset(), frozenset(), frozenset(), None)


def effects_of(before: PublicGroup, valid: HardValid) -> Effects:
    """What a hard-valid candidate would do to the members."""
    staged = valid.staged
    added = frozenset(peer_of(staged.successor, each.leaf) for each in staged.adds)
    removed = frozenset(peer_of(before, leaf) for index, leaf in before.leaves() if index in staged.removes)
    return Effects(added, removed, frozenset(staged.removes), valid.voting.policy)


def is_done_by(effects: Effects, kind: str, body: bytes, author: int) -> bool:
    """Whether a commit that does this carries an intent out, whoever it was made for."""
    try:
        match kind:
            case "add":
                return AddBody.decode(body).peer in effects.added
            case "remove":
                return RemoveBody.decode(body).peer in effects.removed
            case "leave":
                return author in effects.leaving
            case "policy" if effects.policy is not None:
                return amended(effects.policy, PolicyBody.decode(body)) == effects.policy
            case _:
                return False
    except (OrderingError, RuleError):
        return False


def _interleaved(
    intents: Sequence[IntentRow], others: Sequence[Wanted]
) -> Iterator[tuple[IntentRow | None, Wanted | None]]:
    """Our first, everybody's first, our second, everybody's second, and so on."""
    rounds: list[list[Wanted]] = []
    seen: dict[int, int] = {}
    for wanted in others:
        place = seen[wanted.author] = seen.get(wanted.author, -1) + 1
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(wanted)
    for intent, each in zip_longest(intents, rounds):
        yield intent, None
        for wanted in each or ():
            yield None, wanted


def _has_removal(draft: Draft, intents: Sequence[IntentRow]) -> bool:
    own = draft.group.own_leaf
    urgent = [each for each in intents if each.kind in KINDS and KINDS[each.kind].is_urgent]
    wishes = (Wanted(own, each.intent_id, each.kind, each.body, 0) for each in urgent)
    return any(isinstance(_wish(draft, each), Take) for each in wishes)


def _wish(draft: Draft, wanted: Wanted) -> Take | Fate:
    """The same of a wish that may be impossible: then there is nothing to carry."""
    try:
        return draft.judge(wanted.kind, wanted.body, wanted.author)
    except (MlsError, OrderingError, RuleError):
        return Fate.WAITS


# --- the rules ---


def _add(draft: Draft, data: bytes, author: int) -> Take | Fate:  # noqa: ARG001 - any member may
    body = AddBody.decode(data)
    if body.peer in draft.members:
        return Fate.WAITS if body.peer in draft.touched else Fate.ALREADY
    if draft.policy is not None:
        return Fate.WAITS  # a commit that adds members leaves the policy alone
    package = _key_package(body.key_package)
    if peer_of(draft.group.public, package.leaf_node) != body.peer:
        raise RuleError("the key package that this peer gave is another peer's")
    return Take((add(package),), touches=(body.peer,))


def _readd(draft: Draft, data: bytes, author: int) -> Take | Fate:
    """A member that lost its way, or its state: its leaf is removed and it is added anew, in one commit."""
    body = AddBody.decode(data)
    if body.peer not in draft.members:
        return _add(draft, data, author)
    package = _key_package(body.key_package)
    leaf_index, leaf = draft.members[body.peer]
    if leaf.signature_key == package.leaf_node.signature_key:
        return Fate.ALREADY
    if draft.policy is not None:
        return Fate.WAITS  # a commit that adds members leaves the policy alone
    if leaf_index == draft.group.own_leaf:
        raise RuleError("a member cannot commit its own removal")
    if peer_of(draft.group.public, package.leaf_node) != body.peer:
        raise RuleError("the key package that this peer gave is another peer's")
    return Take((remove(leaf_index), add(package)), touches=(body.peer,))


def _remove(draft: Draft, data: bytes, author: int) -> Take | Fate:
    peer = RemoveBody.decode(data).peer
    if peer not in draft.members:
        return Fate.WAITS if peer in draft.touched else Fate.ALREADY
    leaf_index, _ = draft.members[peer]
    if leaf_index == draft.group.own_leaf:
        raise RuleError("a member cannot commit its own removal")
    if draft.amends:
        return Fate.WAITS  # together they would not go first
    pins = frozenset(policy_of(draft.group.public.extensions).pins)
    if peer.encode() in pins and not draft.are_pinned(pins, author):  # carrying a wish along lends it no right
        raise RuleError("only a pinned member may remove a pinned one")
    if draft.gone and not draft.can_lose(leaf_index):
        return Fate.WAITS
    return Take((remove(leaf_index),), touches=(peer,))


def _leave(draft: Draft, data: bytes, author: int) -> Take | Fate:
    """Of another member: its own proposal, by reference. Ours is for another member to commit."""
    public = draft.group.public
    leaf = public.leaf(author)
    if author == draft.group.own_leaf:
        if not draft.can_lose(author):
            raise RuleError(LAST_MEMBER if len(draft.members) == 1 else SOLE_VOTER)
        return Fate.WAITS
    if leaf is None or not draft.can_lose(author):
        return Fate.WAITS
    listed = public.check_proposal(data)
    if listed.proposal != self_remove() or listed.sender.leaf_index != author:
        raise RuleError("this is not its author's own leave")
    return Take(references=(data,), touches=(peer_of(public, leaf),))


def _update(draft: Draft, data: bytes, author: int) -> Take | Fate:  # noqa: ARG001 - a rule
    return Take()


def _opt_in(draft: Draft, data: bytes, author: int) -> Take | Fate:  # noqa: ARG001 - a rule
    if _is_willing(draft.own):
        return Fate.ALREADY
    return Take(opt_in=True) if draft.may_opt_in and not draft.opt_out else Fate.WAITS


def _opt_out(draft: Draft, data: bytes, author: int) -> Take | Fate:  # noqa: ARG001 - a rule
    if not _is_willing(draft.own):
        return Fate.ALREADY
    return Fate.WAITS if draft.opt_in else Take(opt_out=True)


def _policy(draft: Draft, data: bytes, author: int) -> Take | Fate:
    wanted = amended(draft.wanted_policy, PolicyBody.decode(data))
    if wanted == draft.wanted_policy:
        return Fate.ALREADY if draft.policy is None else Fate.WAITS
    for leaf_index in (author, draft.group.own_leaf):  # carrying a wish along lends it no right
        check_wish(draft.group.public, leaf_index, wanted)
    return Fate.WAITS if draft.proposals or draft.policy is not None else Take(policy=wanted)


def _bench(draft: Draft, data: bytes, author: int) -> Take | Fate:  # noqa: ARG001 - any member may
    entry = BenchBody.decode(data).entry
    if not is_wanted(draft.group.public, entry):
        return Fate.ALREADY
    if draft.amends or any(each.proposal_type is ProposalType.ADD for each in draft.proposals):
        return Fate.WAITS
    return Take(policy=draft.wanted_policy.with_bench(entry))


def _context_with(group: Group, policy: Policy) -> Proposal:
    """The group's context with another policy, and the bench tidied."""
    rest = (each for each in group.extensions if each.extension_type != POLICY_EXTENSION)
    return group_context_extensions((*rest, policy_extension(pruned(policy, group.public))))


Rule = Callable[[Draft, bytes, int], Take | Fate]
"""(the commit so far, the intent's body, the leaf of who wants it)"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of intent."""

    rule: Rule
    is_shared: bool = False  # another member may carry it out
    is_urgent: bool = False  # alone in a commit it makes that commit class 0, and it goes alone


KINDS: Final[Mapping[str, Kind]] = {
    ADD: Kind(_add, is_shared=True),
    READD: Kind(_readd),
    REMOVE: Kind(_remove, is_shared=True, is_urgent=True),
    LEAVE: Kind(_leave, is_shared=True),
    UPDATE: Kind(_update),
    OPT_IN: Kind(_opt_in),
    OPT_OUT: Kind(_opt_out),
    POLICY: Kind(_policy, is_shared=True),
    BENCH: Kind(_bench, is_urgent=True),  # for who was not heard by its author: each judges that for itself
}


@lru_cache(maxsize=KEY_PACKAGES_READ_MAX)
def _key_package(data: bytes) -> KeyPackage:
    """Plans are made often, of the same intents."""
    return decode_key_package(data)


def _is_willing(leaf: LeafNode | None) -> bool:
    return leaf is not None and voter_of(leaf) is not None
