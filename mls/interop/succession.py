"""Groups that come out of groups: successors after a ReInit, which ends the old one, and branches beside it."""

from mls import Group, LeafChange, OwnCommit, decode_key_package, frame, join
from mls.interop.answers import (
    CommitResponse,
    CreateSubgroupResponse,
    ExtensionValue,
    HandleBranchResponse,
    HandleReInitCommitResponse,
    JoinGroupResponse,
    ProposalDescription,
)
from mls.interop.committing import Committing
from mls.interop.kept import RefusedError, Reinitialization, State, Transaction, mls_extensions


class Succession(Committing):
    def reinit_commit(
        self,
        *,
        state_id: int,
        by_reference: tuple[bytes, ...],
        by_value: tuple[ProposalDescription, ...],
        force_path: bool,
        external_tree: bool,
    ) -> CommitResponse:
        return self.commit(
            state_id=state_id,
            by_reference=by_reference,
            by_value=by_value,
            force_path=force_path,
            external_tree=external_tree,
        )

    def handle_pending_reinit_commit(self, *, state_id: int) -> HandleReInitCommitResponse:
        state = self.find(State, state_id)
        return self._end(state_id, state, self.pending(state))

    def handle_reinit_commit(
        self, *, state_id: int, proposal: tuple[bytes, ...], commit: bytes
    ) -> HandleReInitCommitResponse:
        state = self.find(State, state_id)
        return self._end(state_id, state, self.staged(state, proposal, commit))

    def _end(self, state_id: int, state: State, last: Group) -> HandleReInitCommitResponse:
        """Enter the last epoch; a key package for the successor, in its suite, with the identity from this group."""
        if last.reinit is None:
            raise RefusedError("this commit has no ReInit in it")
        suite_id = self.suite_id(last.reinit.cipher_suite)
        self.enter(state_id, state, last)
        own = last.public.leaf(last.own_leaf)
        assert own is not None, "a member has a leaf"
        bundle = self.bundle(suite_id, own.credential.identity)
        number = self.keep(Reinitialization(state, bundle))
        return HandleReInitCommitResponse(number, frame(bundle.key_package), last.epoch_authenticator)

    def reinit_welcome(
        self, *, reinit_id: int, key_package: tuple[bytes, ...], force_path: bool, external_tree: bool
    ) -> CreateSubgroupResponse:
        ended = self.find(Reinitialization, reinit_id)
        made = ended.state.group.reinitialize(
            [decode_key_package(each) for each in key_package],
            self.random,
            self.clock(),
            lifetime=self.lifetime(),
            leaf=LeafChange(signer=ended.bundle.signer),  # the successor's signature scheme may be another
            force_path=force_path,
            inline_tree=not external_tree,
        )
        self.forget(reinit_id)
        return self._created(ended.state, made, external_tree)

    def handle_reinit_welcome(self, *, reinit_id: int, welcome: bytes, ratchet_tree: bytes) -> JoinGroupResponse:
        ended = self.find(Reinitialization, reinit_id)
        group = join(
            welcome,
            [ended.bundle],
            tree=ratchet_tree or None,
            now=self.clock(),
            config=self.config,
            predecessor=ended.state.group,
        )
        self.forget(reinit_id)
        return JoinGroupResponse(self._beside(ended.state, group), group.epoch_authenticator)

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
        state = self.find(State, state_id)
        made = state.group.branch(
            [decode_key_package(each) for each in key_packages],
            self.random,
            self.clock(),
            lifetime=self.lifetime(),
            group_id=group_id,
            extensions=mls_extensions(extensions),
            force_path=force_path,
            inline_tree=not external_tree,
        )
        return self._created(state, made, external_tree)

    def handle_branch(
        self, *, state_id: int, transaction_id: int, welcome: bytes, ratchet_tree: bytes
    ) -> HandleBranchResponse:
        state, transaction = self.find(State, state_id), self.find(Transaction, transaction_id)
        group = join(
            welcome,
            [transaction.bundle],
            tree=ratchet_tree or None,
            now=self.clock(),
            config=self.config,
            predecessor=state.group,
        )
        self.forget(transaction_id)
        return HandleBranchResponse(self._beside(state, group), group.epoch_authenticator)

    def _created(self, state: State, made: OwnCommit, external_tree: bool) -> CreateSubgroupResponse:
        """The new group's first commit has nobody to lose to: its author is in at once."""
        group = made.successor
        tree = group.tree_bytes() if external_tree else b""
        return CreateSubgroupResponse(self._beside(state, group), made.welcome or b"", tree, group.epoch_authenticator)

    def _beside(self, state: State, group: Group) -> int:
        """A state for the new group, with what the old one's has of settings and stored keys."""
        return self.keep(State(group, state.wire_format, dict(state.psks)))
