"""GroupView: what a member can read of its group in one epoch, show of it and put away; nothing here changes it."""

from dataclasses import dataclass

from mls import commit, snapshot
from mls.crypto import CipherSuite, Random
from mls.extensions import Extensions
from mls.framing import frame
from mls.group_context import GroupContext
from mls.proposals import Proposal, ReInit, pre_shared_key
from mls.psks import PskName, Psks
from mls.public_group import PublicGroup
from mls.registry import ContentType
from mls.results import Member
from mls.state import GroupState


@dataclass(frozen=True, slots=True)
class GroupView:
    """The base of `Group`."""

    state: GroupState

    @property
    def public(self) -> PublicGroup:
        """What an observer of this epoch knows."""
        return self.state.public

    @property
    def suite(self) -> CipherSuite:
        return self.state.suite

    @property
    def group_id(self) -> bytes:
        return self.state.public.group_id

    @property
    def epoch(self) -> int:
        return self.state.public.epoch

    @property
    def context(self) -> GroupContext:
        return self.state.public.context

    @property
    def extensions(self) -> Extensions:
        """Those of the group context."""
        return self.state.public.context.extensions

    @property
    def own_leaf(self) -> int:
        """Our leaf index."""
        return self.state.own_leaf

    def members(self) -> tuple[Member, ...]:
        """In the order of their leaves."""
        return tuple(
            Member(index, leaf.credential.identity, leaf.signature_key, leaf)
            for index, leaf in self.state.public.tree.members()
        )

    @property
    def reinit(self) -> ReInit | None:
        """The terms of the group that follows this one; with them this one has ended (V168)."""
        return self.state.public.reinit

    @property
    def resumption_psks(self) -> Psks:
        """The resumption PSKs of this epoch and remembered ones, to be taken in elsewhere as a proof (§8.6)."""
        return self.state.resumption_psks

    def pre_shared_key(self, name: PskName, random: Random) -> Proposal:
        """The key of that name mixed into the next epoch, under a fresh nonce (V102)."""
        return pre_shared_key(self.suite.id, name, random)

    @property
    def epoch_authenticator(self) -> bytes:
        """Equal among members exactly when they are in the same epoch of the same history (§8.7)."""
        return self.state.secrets.epoch_authenticator

    def export(self, label: str, context: bytes, length: int) -> bytes:
        """A secret for the application, of this epoch (§8.5). Give each use a label of its own (V208)."""
        return self.state.secrets.export(self.suite, label, context, length)

    @property
    def next_generation(self) -> int:
        """The generation that our next application message of this epoch will have."""
        return self.state.secret_tree.generation(self.own_leaf, ContentType.APPLICATION)

    # --- showing it ---

    def tree_bytes(self) -> bytes:
        """The ratchet tree for a joiner, as `join(tree=...)` takes it."""
        return self.state.public.tree.encode()

    def group_info(self, *, inline_tree: bool = True, external_pub: bool = False, extensions: Extensions = ()) -> bytes:
        """A signed GroupInfo of this epoch, as an MLSMessage (§12.4.3).

        With `external_pub` whoever has it can join by an external Commit (`external_join`), as far as the policy of the
        members allows. `extensions` are the application's own.
        """
        info = commit.group_info(self.state, inline_tree=inline_tree, external_pub=external_pub, extensions=extensions)
        return frame(info)

    def sign(self, label: str, content: bytes) -> bytes:
        """A signature by our own leaf key, under a label of the application's (§5.1.2). Choose one that MLS has not."""
        return self.suite.sign_with_label(self.state.signer, label, content)

    # --- putting it away ---

    def to_bytes(self) -> bytes:
        """A versioned snapshot with every secret in it; whoever keeps it encrypts it."""
        return snapshot.to_bytes(self.state)

    def to_parts(self) -> snapshot.Parts:
        """The snapshot by how often its pieces change: write those that differ from what was written, at once."""
        return snapshot.to_parts(self.state)
