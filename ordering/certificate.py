"""Certificates: q votes that say the same, and the Decision, the certificate that ends an epoch.

Certificates are not unique: any q of the voters make one. So nothing is ever named by a certificate's hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from msgspec import Meta

from ordering.errors import InvalidError
from ordering.limits import CERTIFICATE_SIZE_MAX, COMMITTEE_MAX, DECISION_SIZE_MAX
from ordering.naming import instance_id
from ordering.policy import Descriptor
from ordering.votes import Tally, Verify, Vote, VoteKind, vote_bytes
from ordering.wire import BundleId, Epoch, GroupId, Hash, InstanceId, View, VoterIndex, VoteSignature, Wire


class Certificate(Wire, frozen=True):
    """Exactly q votes of one instance, kind, view and id; signatures in ascending voter order."""

    SIZE_MAX: ClassVar[int] = CERTIFICATE_SIZE_MAX

    instance: Hash
    kind: VoteKind
    view: View
    id: Annotated[bytes, Meta(max_length=32)]
    signatures: Annotated[tuple[tuple[VoterIndex, VoteSignature], ...], Meta(min_length=1, max_length=COMMITTEE_MAX)]

    def __post_init__(self) -> None:
        if len(self.id) != (0 if self.kind is VoteKind.NULLIFY else 32):
            raise ValueError("a nullification names no bundle, every other certificate names one")
        voters = [voter for voter, _ in self.signatures]
        if any(later <= earlier for earlier, later in pairwise(voters)):
            raise ValueError("signatures are not in strictly ascending voter order")

    @property
    def bundle(self) -> BundleId:
        """The bundle it certifies; empty for a nullification."""
        return BundleId(self.id)


def certify(instance: InstanceId, votes: Sequence[Vote], quorum: int) -> Certificate:
    """Make a certificate of the first q of these agreeing votes, in voter order."""
    chosen = sorted(votes, key=lambda vote: vote.voter)[:quorum]
    first = chosen[0]
    return Certificate(
        instance, first.kind, first.view, first.id, tuple((vote.voter, vote.signature) for vote in chosen)
    )


def well_formed(certificate: Certificate, instance: bytes, descriptor: Descriptor) -> bool:
    """Everything about a certificate that costs no signature check (R13): instance, indices, exactly q of them."""
    return (
        certificate.instance == instance
        and len(certificate.signatures) == descriptor.quorum
        and certificate.signatures[-1][0] < descriptor.size
    )


def verified_votes(
    certificate: Certificate, descriptor: Descriptor, verify: Verify, held: Tally
) -> tuple[Vote, ...] | None:
    """The votes of a well-formed certificate, or None when one signature is false.

    A vote that `held` already has, signature and all, is not verified again (R13).
    """
    kind, view, bundle = certificate.kind, certificate.view, certificate.bundle
    votes = []
    for voter, signature in certificate.signatures:
        vote = Vote(kind, view, voter, bundle, signature)
        if held.get(view, kind, voter) != vote:
            message = vote_bytes(certificate.instance, kind, view, voter, bundle)
            if not verify(descriptor.vote_keys[voter], message, signature):
                return None
        votes.append(vote)
    return tuple(votes)


class Decision(Wire, frozen=True):
    """q Finalize of one view and bundle, with everything that names the instance they are of.

    Self-contained: whoever knows which descriptor and predecessor to expect can check it offline, and any peer
    can carry it.
    """

    SIZE_MAX: ClassVar[int] = DECISION_SIZE_MAX

    group_id: GroupId
    epoch: Epoch
    prev: Hash  # the bundle decided in epoch - 1, or the genesis hash
    descriptor: Descriptor  # the committee of this epoch
    certificate: Certificate

    def __post_init__(self) -> None:
        if self.certificate.kind is not VoteKind.FINALIZE:
            raise ValueError("only Finalize votes decide")
        if self.certificate.instance != instance_id(self.group_id, self.epoch, self.descriptor, self.prev):
            raise ValueError("the certificate is of another instance than the one described")

    @property
    def instance(self) -> InstanceId:
        """The instance this decides."""
        return InstanceId(self.certificate.instance)

    @property
    def view(self) -> int:
        """The view in which the votes were cast."""
        return self.certificate.view

    @property
    def id(self) -> BundleId:
        """The decided bundle: `prev` of the next epoch."""
        return self.certificate.bundle

    def check(self, verify: Verify, held: Tally | None = None) -> None:
        """Verify the q signatures under the descriptor inside; raises `InvalidError`.

        That the descriptor is the right one is for the caller to know (see `log`).
        """
        if not well_formed(self.certificate, self.certificate.instance, self.descriptor):
            raise InvalidError("Decision", f"epoch {self.epoch}: not exactly q votes of seated voters")
        if verified_votes(self.certificate, self.descriptor, verify, held or Tally.empty()) is None:
            raise InvalidError("Decision", f"epoch {self.epoch}: a Finalize signature does not verify")
