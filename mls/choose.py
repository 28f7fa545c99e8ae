"""Choosing what to commit (RFC 9420 §12.2): of the proposals of an epoch, those that one Commit of ours can carry out.

Members propose without knowing of each other, and nobody can be kept from proposing nonsense. A committer takes all
that is valid (V132); of rivals it takes one, and most committers would take the same (V131).
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from mls.capabilities import check_suite_listed
from mls.errors import MlsError
from mls.framing import Sender
from mls.handshake import received_proposals
from mls.proposal_list import ListedProposal
from mls.proposals import (
    Add,
    CustomProposal,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    SelfRemove,
    Update,
)
from mls.psks import Psks
from mls.state import GroupState
from mls.validation.leaves import check_lifetime


@dataclass(frozen=True, slots=True)
class _Candidate:
    message: bytes
    listed: ListedProposal


def choose(state: GroupState, messages: Sequence[bytes], now: int, psks: Psks) -> tuple[bytes, ...]:
    """Those of these proposal messages, oldest first, that a Commit of ours can refer to; in the same order.

    Raises MisuseError where a ReInit has ended the group (V168).
    """
    state.check_open()
    candidates = [each for message in dict.fromkeys(messages) if (each := _received(state, message, now, psks))]
    chosen = _without_rivals(state, candidates)
    if not _stand_together(state, chosen):  # one by one, so that what cannot be carried out costs nobody else its place
        standing: list[_Candidate] = []
        for each in chosen:
            if _stand_together(state, [*standing, each]):
                standing.append(each)
        chosen = standing
    taken = {each.message for each in chosen}
    return tuple(each.message for each in candidates if each.message in taken)


def _received(state: GroupState, message: bytes, now: int, psks: Psks) -> _Candidate | None:
    """A proposal that is right by itself, and that we can carry out; None for any other."""
    try:
        _, (listed,) = received_proposals(state, [message])
        body = listed.proposal.body
        if isinstance(body, Add):
            check_lifetime(body.key_package.leaf_node, now, state.config.lifetime_max_s, rule="V070")
            if state.config.check_suite_listed:
                check_suite_listed(body.key_package.leaf_node, state.suite.id)
        if isinstance(body, PreSharedKey):
            state.psk_secret([body.psk], psks)
    except MlsError:
        return None
    return _Candidate(message, listed)


def _without_rivals(state: GroupState, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Each leaf changed once, by its removal rather than an Update and by the newest of its Updates; what else there
    can be but one of, once; and a ReInit where there is nothing else (V131)."""
    claimed: set[Hashable] = {("leaf", state.own_leaf)}  # by the Commit itself (V117, V118)
    chosen = []
    for each in _by_preference(candidates):
        claims = _claims(each.listed)
        if claimed.isdisjoint(claims):
            claimed.update(claims)
            chosen.append(each)
    others = [each for each in chosen if not isinstance(each.listed.proposal.body, ReInit)]
    return others or chosen


def _by_preference(candidates: Sequence[_Candidate]) -> Iterator[_Candidate]:
    """SelfRemoves, Removes (draft-ietf-mls-extensions); what a newer one stands for, newest first; then all others."""

    def of(*kinds: type) -> list[_Candidate]:
        return [each for each in candidates if isinstance(each.listed.proposal.body, kinds)]

    yield from of(SelfRemove)
    yield from of(Remove)
    yield from reversed(of(Update, GroupContextExtensions))
    yield from of(Add, PreSharedKey, ReInit, CustomProposal)


def _claims(listed: ListedProposal) -> tuple[Hashable, ...]:
    """What no other proposal beside this one may be about (V119, V120, V122, V124 to V126)."""
    match listed.proposal.body:
        case Remove(leaf_index):
            return (("leaf", leaf_index),)
        case Update() | SelfRemove():
            return (("leaf", listed.sender.leaf_index),)
        case Add(package):
            return (("client", package.leaf_node.signature_key), ("init key", package.init_key))
        case PreSharedKey(psk):
            return (("psk", psk),)
        case CustomProposal():
            return ()  # which of them are rivals is the application's to say
        case other:
            return (type(other).__name__,)


def _stand_together(state: GroupState, chosen: Sequence[_Candidate]) -> bool:
    """Whether a Commit of these and nothing else is right, as far as it can be said before there is a path."""
    public, listed = state.public, [each.listed for each in chosen]
    try:
        applied, _ = public.apply(Sender.member(state.own_leaf), listed, state.config)
        public.check_outcome(applied, applied.tree, listed, None)
    except MlsError:
        return False
    return True
