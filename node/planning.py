"""Planning a commit: every open intent in the light of the present epoch, and what one commit would carry of them.

Each kind of intent has one *rule*, a pure function that says whether the intent is already so, has to wait, or what
proposals carry it out; it raises when the intent is no longer possible. A new kind is one entry in `KINDS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final

from mls import (
    Group,
    KeyPackage,
    LeafNode,
    MlsError,
    Proposal,
    ProposalType,
    add,
    decode_key_package,
    group_context_extensions,
    remove,
)
from node.electorate import POLICY_EXTENSION, RuleError, peer_of, policy_extension, policy_of, voter_of
from node.intents import ADD, ALREADY, BENCH, FAILED, OPT_IN, OPT_OUT, POLICY, REMOVE, UPDATE, AddBody, RemoveBody
from node.peer_id import PeerId
from node.policies import BenchBody, PolicyBody, amended, check_wish, is_wanted, pruned
from node.store_rows import IntentRow
from ordering import OrderingError, Policy

KEY_PACKAGES_READ_MAX: Final = 1024


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
    intents: tuple[IntentRow, ...] = ()
    opt_in: bool = False
    opt_out: bool = False
    settled: tuple[Settled, ...] = ()


class Fate(Enum):
    """What a rule says of an intent that no commit of this epoch is to carry."""

    ALREADY = 1  # it is so: done by somebody else, or before it was asked for
    WAITS = 2  # for a later epoch, or until nothing else in this commit touches the same


@dataclass(frozen=True, slots=True)
class Take:
    """What carries an intent out: proposals by value, or a change of the committer's own leaf."""

    proposals: tuple[Proposal, ...] = ()
    touches: tuple[str, ...] = ()  # names that one change of a commit may touch; a second waits
    opt_in: bool = False
    opt_out: bool = False
    policy: Policy | None = None  # the ordering policy from then on


@dataclass(slots=True)
class Draft:
    """The commit as planned so far, and the epoch it would end."""

    group: Group
    may_opt_in: bool
    members: dict[PeerId, tuple[int, LeafNode]]  # with the leaf index
    proposals: list[Proposal] = field(default_factory=list)
    intents: list[IntentRow] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    opt_in: bool = False
    opt_out: bool = False
    policy: Policy | None = None

    @property
    def own(self) -> LeafNode | None:
        """Our own leaf."""
        return self.group.public.leaf(self.group.own_leaf)

    def take(self, intent: IntentRow, change: Take) -> None:
        """Carry an intent with this commit."""
        self.proposals += change.proposals
        self.touched.update(change.touches)
        self.opt_in, self.opt_out = self.opt_in or change.opt_in, self.opt_out or change.opt_out
        self.policy = change.policy or self.policy
        self.intents.append(intent)

    @property
    def wanted_policy(self) -> Policy:
        """The ordering policy as far as it is planned; that of the epoch if nothing of it changes."""
        return self.policy or policy_of(self.group.public.extensions)

    @property
    def amends(self) -> bool:
        """Whether more of the policy than its bench is planned to change."""
        present = policy_of(self.group.public.extensions)
        return self.wanted_policy.benching(()) != present.benching(())


Rule = Callable[[Draft, bytes], Take | Fate]


def plan(group: Group, intents: Sequence[IntentRow], *, may_opt_in: bool) -> Plan:
    """Look at every open intent, oldest first. `may_opt_in` is false while the group is unconfirmed.

    Two intents that cannot share a commit (both adding one peer, say) are taken one after the other: the second is
    left for a later epoch, where it will have settled itself.
    """
    members = {peer_of(group.public, leaf): (leaf_index, leaf) for leaf_index, leaf in group.public.leaves()}
    draft = Draft(group, may_opt_in, members)
    settled: list[Settled] = []
    for intent in intents:
        try:
            found = _judge(draft, intent)
        except (MlsError, OrderingError, RuleError) as error:
            settled.append(Settled(intent, FAILED, str(error)))
            continue
        match found:
            case Take():
                draft.take(intent, found)
            case Fate.ALREADY:
                settled.append(Settled(intent, ALREADY))
            case Fate.WAITS:
                pass
    if draft.policy is not None:
        draft.proposals.append(_context_with(draft.group, draft.policy))
    return Plan(tuple(draft.proposals), tuple(draft.intents), draft.opt_in, draft.opt_out, tuple(settled))


def _judge(draft: Draft, intent: IntentRow) -> Take | Fate:
    rule = KINDS.get(intent.kind)
    if rule is None:
        raise RuleError(f"this version does not know intents of kind {intent.kind!r}")
    found = rule(draft, intent.body)
    if isinstance(found, Take) and not draft.touched.isdisjoint(found.touches):
        return Fate.WAITS
    return found


# --- the rules ---


def _add(draft: Draft, data: bytes) -> Take | Fate:
    body = AddBody.decode(data)
    if body.peer in draft.members:
        return Fate.WAITS if body.peer in draft.touched else Fate.ALREADY
    if draft.policy is not None:
        return Fate.WAITS  # a commit that adds members leaves the policy alone
    package = _key_package(body.key_package)
    if peer_of(draft.group.public, package.leaf_node) != body.peer:
        raise RuleError("the key package that this peer gave is another peer's")
    return Take((add(package),), (body.peer,))


def _remove(draft: Draft, data: bytes) -> Take | Fate:
    peer = RemoveBody.decode(data).peer
    if peer not in draft.members:
        return Fate.WAITS if peer in draft.touched else Fate.ALREADY
    leaf_index, _ = draft.members[peer]
    if leaf_index == draft.group.own_leaf:
        raise RuleError("a member cannot commit its own removal")
    if draft.amends:
        return Fate.WAITS  # together they would not go first
    return Take((remove(leaf_index),), (peer,))


def _update(draft: Draft, data: bytes) -> Take | Fate:  # noqa: ARG001 - a rule
    return Take()


def _opt_in(draft: Draft, data: bytes) -> Take | Fate:  # noqa: ARG001 - a rule
    if _is_willing(draft.own):
        return Fate.ALREADY
    return Take(opt_in=True) if draft.may_opt_in and not draft.opt_out else Fate.WAITS


def _opt_out(draft: Draft, data: bytes) -> Take | Fate:  # noqa: ARG001 - a rule
    if not _is_willing(draft.own):
        return Fate.ALREADY
    return Fate.WAITS if draft.opt_in else Take(opt_out=True)


def _policy(draft: Draft, data: bytes) -> Take | Fate:
    wanted = amended(draft.wanted_policy, PolicyBody.decode(data))
    if wanted == draft.wanted_policy:
        return Fate.ALREADY if draft.policy is None else Fate.WAITS
    check_wish(draft.group.public, draft.group.own_leaf, wanted)
    return Fate.WAITS if draft.proposals or draft.policy is not None else Take(policy=wanted)


def _bench(draft: Draft, data: bytes) -> Take | Fate:
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


KINDS: Final[Mapping[str, Rule]] = {
    ADD: _add,
    REMOVE: _remove,
    UPDATE: _update,
    OPT_IN: _opt_in,
    OPT_OUT: _opt_out,
    POLICY: _policy,
    BENCH: _bench,
}


@lru_cache(maxsize=KEY_PACKAGES_READ_MAX)
def _key_package(data: bytes) -> KeyPackage:
    """Plans are made often, of the same intents."""
    return decode_key_package(data)


def _is_willing(leaf: LeafNode | None) -> bool:
    return leaf is not None and voter_of(leaf) is not None
