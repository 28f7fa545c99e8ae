"""Proposing from outside a group: a newcomer its own addition, an external sender whatever it may."""

from mls import ExternalSender, basic
from mls.interop.answers import (
    CreateExternalSignerResponse,
    NewMemberAddProposalResponse,
    ProposalDescription,
    ProposalResponse,
)
from mls.interop.kept import Signer, UnsupportedError
from mls.interop.proposing import Proposing


class Outside(Proposing):
    def new_member_add_proposal(self, *, group_info: bytes, identity: bytes) -> NewMemberAddProposalResponse:
        raise UnsupportedError("a newcomer's own Add is not yet supported")

    def create_external_signer(self, *, cipher_suite: int, identity: bytes) -> CreateExternalSignerResponse:
        signer = Signer(self.suite_id(cipher_suite), identity, self.signature_key(self.suite_id(cipher_suite)))
        sender = ExternalSender(signer.key.public, basic(identity))
        return CreateExternalSignerResponse(self.keep(signer), sender.encode())

    def external_signer_proposal(
        self,
        *,
        signer_id: int,
        signer_index: int,
        group_info: bytes,
        ratchet_tree: bytes,
        description: ProposalDescription,
    ) -> ProposalResponse:
        raise UnsupportedError("external senders' proposals are not yet supported")
