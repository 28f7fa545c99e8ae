"""The rules of intents: whether one is already so, has to wait, or what proposals carry it out.

Each kind has one, a pure function of the commit as planned so far; it raises when the intent is no longer possible. A
new kind is one entry in `KINDS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mls import (
    KeyPackage,
    LeafNode,
    ProposalType,
    add,
    decode_key_package,
    remove,
    self_remove,
)
from node.draft import Draft, Fate, Take
from node.electorate import RuleError, peer_of, policy_of, voter_of
from node.intents import (
    ADD,
    BENCH,
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
from node.peer_id import PeerId
from node.policies import BenchBody, PolicyBody, amended, check_wish, is_wanted

KEY_PACKAGES_READ_MAX: Final = 1024

SOLE_VOTER: Final = (
    "without this node nobody could vote, and the group could never change again: have another member offer itself as "
    "a voter first (there: conclave group opt-in)"
)
LAST_MEMBER: Final = "this node is the only member: there is nobody to leave the group to"


def judge(draft: Draft, kind: str, body: bytes, author: int) -> Take | Fate:
    """What the rule of an intent's kind says, and whether the commit has room for it; raises what the rule raises."""
    known = KINDS.get(kind)
    if known is None:
        raise RuleError(f"this version does not know intents of kind {kind!r}")
    if author != draft.group.own_leaf and not known.is_shared:
        raise RuleError("only its author can carry this out")
    found = known.rule(draft, body, author)
    if not isinstance(found, Take):
        return found
    left_out = draft.is_urgent and found.cost > 0 and not known.is_urgent
    goes_along = draft.has_room(found, len(body)) and draft.touched.isdisjoint(found.touches)
    return found if goes_along and not left_out else Fate.WAITS


def _add(draft: Draft, data: bytes, author: int) -> Take | Fate:  # noqa: ARG001 - any member may
    body = AddBody.decode(data)
    if body.peer in draft.members:
        return Fate.WAITS if body.peer in draft.touched else Fate.ALREADY
    if draft.policy is not None or not body.key_package:
        return Fate.WAITS  # a commit that adds members leaves the policy alone; or its key package is being claimed
    package = _key_package(body.key_package)
    if peer_of(draft.group.public, package.leaf_node) != body.peer:
        raise RuleError("the key package that this peer gave is another peer's")
    return Take((add(package),), touches=(body.peer,))


def _readd(draft: Draft, data: bytes, author: int) -> Take | Fate:
    """A member that lost its way, or its state: its leaf is removed and it is added anew, in one commit."""
    body = AddBody.decode(data)
    if body.peer not in draft.members:
        return _add(draft, data, author)
    if not body.key_package:
        return Fate.WAITS  # it is being claimed
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
    _check_pins(draft, body.peer, author)
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
    _check_pins(draft, peer, author)
    if draft.gone and not draft.can_lose(leaf_index):
        return Fate.WAITS
    return Take((remove(leaf_index),), touches=(peer,))


def _check_pins(draft: Draft, peer: PeerId, author: int) -> None:
    """Author and committer both have to have the right to remove: carrying a wish along lends it none."""
    pins = frozenset(policy_of(draft.group.public.extensions).pins)
    if peer.encode() in pins and not draft.are_pinned(pins, author):
        raise RuleError("only a pinned member may remove a pinned one")


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
    READD: Kind(_readd, is_shared=True),
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
