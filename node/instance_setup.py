"""Setting up an epoch's instance: its committee, our seat and keys in it, and its timers."""

from typing import TYPE_CHECKING, Final

from mls import Group, ed25519_sign, ed25519_verify
from node.cut_off import NO_FINGERPRINT
from node.electorate import Voting
from ordering import VOTES_TO_ALL_MAX, InstanceConfig, Timing

if TYPE_CHECKING:
    from node.agreement import Agreement

STATUS_LABEL: Final = "Conclave Status"


def instance_config(agreement: "Agreement", voting: Voting, own_leaf: int) -> InstanceConfig:
    """The instance of the epoch that the holding stands in; the roster is that epoch's already."""
    context, holding, roster, signer = agreement.context, agreement.holding, agreement.roster, Signer(agreement)
    own_voter = voting.committee.voter_of_leaf(own_leaf)
    if own_voter is not None and voting.committee.seats[own_voter].vote_key != agreement.vote_key.public:
        own_voter = None  # a key we do not hold; nothing can be signed with it
    settings, round_trips = context.config.ordering, context.round_trips
    others, quorum = roster.other_voters, voting.committee.quorum
    return InstanceConfig(
        group_id=holding.group_id,
        epoch=holding.epoch,
        prev=holding.extra.prev,
        committee=voting.committee,
        own_voter=own_voter,
        own_leaf=own_leaf,
        sign=signer.sign_vote if own_voter is not None else signer.sign_status,
        verify=ed25519_verify,
        verify_member=signer.verify_member,
        fingerprint=NO_FINGERPRINT if holding.is_cut_off else fingerprint(agreement.group),
        boot=context.boot,
        timing=Timing(
            delta_s=round_trips.delta_s(voting.policy.delta_ms / 1000, others, quorum, context.pace.repeat_s),
            status_period_s=settings.status_period_ms / 1000,
            idle_period_s=settings.status_idle_period_ms / 1000,
            collect_max_s=settings.collection_window_ms / 1000 if len(roster) > 1 else 0.0,
            repeat_min_s=context.pace.repeat_s,
        ),
        through_leader=len(others) >= VOTES_TO_ALL_MAX
        and round_trips.is_near(others, quorum, context.transport.nearest_s),
    )


class Signer:
    """Our keys in the group, and the members'. It holds none: they are gone when the `Agreement` forgets them."""

    def __init__(self, agreement: "Agreement") -> None:
        self._agreement = agreement

    def sign_vote(self, message: bytes) -> bytes:
        """With our vote key, as a voter."""
        return ed25519_sign(self._agreement.vote_key, message)

    def sign_status(self, message: bytes) -> bytes:
        """With our leaf key, as a member without a seat."""
        return self._agreement.group.sign(STATUS_LABEL, message)

    def verify_member(self, leaf_index: int, message: bytes, signature: bytes) -> bool:
        """Whether a member without a seat said it."""
        leaf = self._agreement.public.leaf(leaf_index)
        if leaf is None:
            return False
        return self._agreement.public.suite.verify_with_label(leaf.signature_key, STATUS_LABEL, message, signature)


def fingerprint(group: Group) -> bytes:
    """What two members compare to know that they are in the same epoch of the same group; 16 bytes."""
    return group.suite.hash(b"conclave/fingerprint/v1" + group.epoch_authenticator)[:16]
