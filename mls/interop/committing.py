"""Commits: one's own, which are pending until the runner says that they won, and others'."""

from mls import Group
from mls.interop.answers import CommitResponse, HandleCommitResponse, ProposalDescription
from mls.interop.kept import RefusedError, State
from mls.interop.proposing import Proposing


class Committing(Proposing):
    def commit(
        self,
        *,
        state_id: int,
        by_reference: tuple[bytes, ...],
        by_value: tuple[ProposalDescription, ...],
        force_path: bool,
        external_tree: bool,
    ) -> CommitResponse:
        state = self.find(State, state_id)
        made = state.group.commit(
            self.random,
            self.clock(),
            proposals=[self.described(state.group.public, each) for each in by_value],
            references=by_reference,
            force_path=force_path,
            wire_format=state.wire_format,
            inline_tree=not external_tree,
            psks=state.psks,
        )
        state.group, state.pending = made.present, made
        return CommitResponse(made.message, made.welcome or b"", made.successor.tree_bytes() if external_tree else b"")

    def handle_pending_commit(self, *, state_id: int) -> HandleCommitResponse:
        state = self.find(State, state_id)
        return self.enter(state_id, state, self.pending(state))

    def handle_commit(self, *, state_id: int, proposal: tuple[bytes, ...], commit: bytes) -> HandleCommitResponse:
        """A state keeps its number through its epochs. A commit that removes it leaves it where it was."""
        state = self.find(State, state_id)
        return self.enter(state_id, state, self.staged(state, proposal, commit))

    # --- in two steps, for those who look at the next epoch before they enter it ---

    def pending(self, state: State) -> Group:
        if state.pending is None:
            raise RefusedError("no commit of this state is pending")
        return state.pending.successor

    def staged(self, state: State, proposal: tuple[bytes, ...], commit: bytes) -> Group:
        staged = state.group.stage(commit, proposals=proposal, now=self.clock(), psks=state.psks)
        if staged.successor is None:
            raise RefusedError("this commit removes the client: it has no next epoch")
        return staged.successor

    def enter(self, state_id: int, state: State, successor: Group) -> HandleCommitResponse:
        state.group, state.pending = successor.following(state.group), None
        return HandleCommitResponse(state_id, state.group.epoch_authenticator)
