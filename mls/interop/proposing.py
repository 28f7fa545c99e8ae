"""Members' proposals: as messages for somebody's commit, and by description for one's own."""

from mls import (
    ExtensionType,
    ExternalSender,
    Proposal,
    PublicGroup,
    add,
    decode_key_package,
    external_psk,
    external_senders,
    external_senders_extension,
    group_context_extensions,
    pre_shared_key,
    reinit,
    remove,
    resumption_psk,
)
from mls.interop.answers import ExtensionValue, ProposalDescription, ProposalResponse
from mls.interop.kept import Kept, RefusedError, State, leaf_of, mls_extensions


class Proposing(Kept):
    def add_proposal(self, *, state_id: int, key_package: bytes) -> ProposalResponse:
        return self._propose(state_id, ProposalDescription(b"add", key_package=key_package))

    def update_proposal(self, *, state_id: int) -> ProposalResponse:
        state = self.find(State, state_id)
        state.group, message = state.group.propose_update(self.random, wire_format=state.wire_format)
        return ProposalResponse(message)

    def remove_proposal(self, *, state_id: int, removed_id: bytes) -> ProposalResponse:
        return self._propose(state_id, ProposalDescription(b"remove", removed_id=removed_id))

    def external_psk_proposal(self, *, state_id: int, psk_id: bytes) -> ProposalResponse:
        return self._propose(state_id, ProposalDescription(b"externalPSK", psk_id=psk_id))

    def resumption_psk_proposal(self, *, state_id: int, epoch_id: int) -> ProposalResponse:
        return self._propose(state_id, ProposalDescription(b"resumptionPSK", epoch_id=epoch_id))

    def group_context_extensions_proposal(
        self, *, state_id: int, extensions: tuple[ExtensionValue, ...]
    ) -> ProposalResponse:
        return self._propose(state_id, ProposalDescription(b"groupContextExtensions", extensions=extensions))

    def reinit_proposal(
        self, *, state_id: int, cipher_suite: int, group_id: bytes, extensions: tuple[ExtensionValue, ...]
    ) -> ProposalResponse:
        return self._propose(
            state_id,
            ProposalDescription(b"reinit", extensions=extensions, group_id=group_id, cipher_suite=cipher_suite),
        )

    def add_external_signer(self, *, state_id: int, external_sender: bytes) -> ProposalResponse:
        """The group's extensions as they are, with one external sender more."""
        current = self.find(State, state_id).group.extensions
        named = (*external_senders(current), ExternalSender.decode(external_sender))
        others = tuple(each for each in current if each.extension_type != ExtensionType.EXTERNAL_SENDERS)
        return self._send(state_id, group_context_extensions((*others, external_senders_extension(named))))

    def _propose(self, state_id: int, description: ProposalDescription) -> ProposalResponse:
        return self._send(state_id, self.described(self.find(State, state_id).group.public, description))

    def _send(self, state_id: int, proposal: Proposal) -> ProposalResponse:
        state = self.find(State, state_id)
        state.group, message = state.group.propose(proposal, self.random, self.clock(), wire_format=state.wire_format)
        return ProposalResponse(message)

    def described(self, group: PublicGroup, description: ProposalDescription) -> Proposal:
        """The proposal of a description, for an epoch of a group."""
        match description.proposal_type:
            case b"add":
                return add(decode_key_package(description.key_package))
            case b"remove":
                return remove(leaf_of(group, description.removed_id))
            case b"groupContextExtensions":
                return group_context_extensions(mls_extensions(description.extensions))
            case b"externalPSK":
                return pre_shared_key(group.suite.id, external_psk(description.psk_id), self.random)
            case b"resumptionPSK":
                name = resumption_psk(group.group_id, description.epoch_id)
                return pre_shared_key(group.suite.id, name, self.random)
            case b"reinit":
                suite_id = self.suite_id(description.cipher_suite)
                return reinit(description.group_id, suite_id, mls_extensions(description.extensions))
            case other:
                raise RefusedError(f"no proposal type {other!r}")
