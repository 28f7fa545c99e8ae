"""Groups that come out of groups: reinitialised ones, which end the old one, and branches beside it."""

from mls.interop.answers import (
    CommitResponse,
    CreateSubgroupResponse,
    ExtensionValue,
    HandleBranchResponse,
    HandleReInitCommitResponse,
    JoinGroupResponse,
    ProposalDescription,
)
from mls.interop.kept import Kept, UnsupportedError

_NOT_YET_REINIT = "reinitialisation is not yet supported"
_NOT_YET_BRANCH = "branches are not yet supported"


class Succession(Kept):
    def reinit_commit(
        self,
        *,
        state_id: int,
        by_reference: tuple[bytes, ...],
        by_value: tuple[ProposalDescription, ...],
        force_path: bool,
        external_tree: bool,
    ) -> CommitResponse:
        raise UnsupportedError(_NOT_YET_REINIT)

    def handle_pending_reinit_commit(self, *, state_id: int) -> HandleReInitCommitResponse:
        raise UnsupportedError(_NOT_YET_REINIT)

    def handle_reinit_commit(
        self, *, state_id: int, proposal: tuple[bytes, ...], commit: bytes
    ) -> HandleReInitCommitResponse:
        raise UnsupportedError(_NOT_YET_REINIT)

    def reinit_welcome(
        self, *, reinit_id: int, key_package: tuple[bytes, ...], force_path: bool, external_tree: bool
    ) -> CreateSubgroupResponse:
        raise UnsupportedError(_NOT_YET_REINIT)

    def handle_reinit_welcome(self, *, reinit_id: int, welcome: bytes, ratchet_tree: bytes) -> JoinGroupResponse:
        raise UnsupportedError(_NOT_YET_REINIT)

    def create_branch(
        self,
        *,
        state_id: int,
        group_id: bytes,
        extensions: tuple[ExtensionValue, ...],
        key_packages: tuple[bytes, ...],
        force_path: bool,
        external_tree: bool,
    ) -> CreateSubgroupResponse:
        raise UnsupportedError(_NOT_YET_BRANCH)

    def handle_branch(
        self, *, state_id: int, transaction_id: int, welcome: bytes, ratchet_tree: bytes
    ) -> HandleBranchResponse:
        raise UnsupportedError(_NOT_YET_BRANCH)
