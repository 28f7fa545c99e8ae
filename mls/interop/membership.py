"""Being in a group: what it is, what is said in it, and leaving it behind."""

from mls import external_psk
from mls.interop.answers import (
    ExportResponse,
    FreeResponse,
    GroupInfoResponse,
    ProtectResponse,
    StateAuthResponse,
    StorePSKResponse,
    UnprotectResponse,
)
from mls.interop.kept import Kept, State


class Membership(Kept):
    def group_info(self, *, state_id: int, external_tree: bool) -> GroupInfoResponse:
        group = self.find(State, state_id).group
        return GroupInfoResponse(
            group.group_info(inline_tree=not external_tree, external_pub=True),
            group.tree_bytes() if external_tree else b"",
        )

    def state_auth(self, *, state_id: int) -> StateAuthResponse:
        return StateAuthResponse(self.find(State, state_id).group.epoch_authenticator)

    def export(self, *, state_id: int, label: str, context: bytes, key_length: int) -> ExportResponse:
        return ExportResponse(self.find(State, state_id).group.export(label, context, key_length))

    def protect(self, *, state_id: int, authenticated_data: bytes, plaintext: bytes) -> ProtectResponse:
        state = self.find(State, state_id)
        state.group, message = state.group.seal(plaintext, self.random, authenticated_data)
        return ProtectResponse(message)

    def unprotect(self, *, state_id: int, ciphertext: bytes) -> UnprotectResponse:
        state = self.find(State, state_id)
        state.group, opened = state.group.open(ciphertext, self.clock())
        return UnprotectResponse(opened.authenticated_data, opened.plaintext)

    def store_psk(self, *, state_or_transaction_id: int, psk_id: bytes, psk_secret: bytes) -> StorePSKResponse:
        self.psks_of(state_or_transaction_id)[external_psk(psk_id)] = psk_secret
        return StorePSKResponse()

    def free(self, *, state_id: int) -> FreeResponse:
        self.find(State, state_id)
        self.forget(state_id)
        return FreeResponse()
