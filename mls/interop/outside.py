"""Proposing from outside a group: a newcomer its own addition, an external sender whatever it may."""

from mls import ExternalSender, basic, group_context_of, observe, propose_from_outside, propose_own_add
from mls.interop.answers import (
    CreateExternalSignerResponse,
    NewMemberAddProposalResponse,
    ProposalDescription,
    ProposalResponse,
)
from mls.interop.entering import private_keys
from mls.interop.kept import Signer, Transaction
from mls.interop.proposing import Proposing


class Outside(Proposing):
    def new_member_add_proposal(self, *, group_info: bytes, identity: bytes) -> NewMemberAddProposalResponse:
        context = group_context_of(group_info)
        bundle = self.bundle(self.suite_id(context.cipher_suite), identity)
        message = propose_own_add(context, bundle)
        number = self.keep(Transaction(bundle))
        return NewMemberAddProposalResponse(number, message, *private_keys(bundle))

    def create_external_signer(self, *, cipher_suite: int, identity: bytes) -> CreateExternalSignerResponse:
        signer = Signer(self.signature_key(self.suite_id(cipher_suite)))
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
        """The signer's place among the group's external senders is looked up; `signer_index` is not needed."""
        signer = self.find(Signer, signer_id)
        group = observe(group_info, tree=ratchet_tree or None, config=self.config)
        proposal = self.described(group, description)
        return ProposalResponse(propose_from_outside(group.context, proposal, signer.key))
