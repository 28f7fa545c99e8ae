"""A newcomer who joins by a commit that breaks one rule and is right in all else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mls.apply import apply_proposals
from mls.authentication import framed, sign
from mls.commit import entry
from mls.credentials import basic
from mls.crypto import SignaturePrivateKey
from mls.entry import external_join
from mls.external_commit import JOINER
from mls.framing import AuthenticatedContent, FramedContent, FramedContentAuthData, PublicMessage, frame
from mls.group import Group
from mls.key_schedule import after_commit, external_init
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, ExternalInit, Proposal, ProposalBody
from mls.psks import NO_PSKS, Psks
from mls.registry import LeafNodeSource, WireFormat
from mls.results import ExternalJoin
from mls.tree.kem import UpdatePath, create_path
from mls.tree.nodes import LeafNode
from tests.mls.forge import proposal_of, psk_secret_of, received_by
from tests.mls.world import NOW, Client, Members


@dataclass
class Stranger:
    """Somebody with a GroupInfo of `inside`, and a leaf it would like to have there."""

    inside: Group
    client: Client
    signer: SignaturePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.signer = self.inside.suite.generate_signature_key(self.client.random)

    @classmethod
    def named(cls, world: Members, name: str, inside: str = "alice") -> "Stranger":
        """Under a name that may be a member's; its signature key is fresh."""
        return cls(world[inside], Client(name, world.suite_id, world.random))

    @property
    def leaf(self) -> LeafNode:
        return LeafNode(
            encryption_key=b"",
            signature_key=self.signer.public,
            credential=basic(self.client.name.encode()),
            capabilities=self.client.capabilities,
            leaf_node_source=LeafNodeSource.COMMIT,
            lifetime=None,
            parent_hash=b"",
            extensions=(),
        )

    def joins(self, **options: object) -> ExternalJoin:
        """As it should be."""
        return self.enters(self.inside.group_info(external_pub=True), **options)

    def enters(self, info: bytes, **options: object) -> ExternalJoin:
        """By this GroupInfo."""
        leaf = self.leaf
        return external_join(
            info,
            self.signer,
            leaf.credential,
            leaf.capabilities,
            self.client.random,
            NOW,
            **({"config": self.inside.state.config} | options),  # type: ignore[arg-type]
        )

    def commit(
        self,
        *bodies: ProposalBody | Proposal,
        references: Sequence[bytes] = (),
        kem_output: bytes | None = None,
        edit_leaf: Callable[[LeafNode], LeafNode] = lambda leaf: leaf,
        edit_path: Callable[[UpdatePath], UpdatePath] = lambda path: path,
        edit_content: Callable[[FramedContent], FramedContent] = lambda content: content,
        signer: SignaturePrivateKey | None = None,
        leaf_index: int | None = None,
        psks: Psks = NO_PSKS,
    ) -> bytes:
        """An ExternalInit, these proposals by value, then those referred to; the hooks are those of a `Forger`.

        `kem_output` stands in place of the right one, and `leaf_index` of the leaf that the newcomer is given.
        """
        group, random = self.inside, self.client.random
        suite, public = group.suite, group.public
        right, init_secret = external_init(suite, group.state.secrets.external_key(suite).public, random)
        drawn = ExternalInit(right if kem_output is None else kem_output)
        listed = [ListedProposal(proposal_of(body), JOINER) for body in (drawn, *bodies)]
        listed += [received_by(group, each) for each in references]
        applied = apply_proposals(public.tree, public.extensions, listed)
        roomy, given = applied.tree.with_room()
        index = given if leaf_index is None else leaf_index
        fresh = create_path(roomy, index, edit_leaf(self.leaf), self.signer, public.group_id, random)
        path_context = public.next_context(applied, fresh.tree)
        commit = Commit(tuple(map(entry, listed)), edit_path(fresh.seal(path_context.encode(), random)))
        content = edit_content(framed(public.group_id, public.epoch, JOINER, commit, b""))
        wire_format = WireFormat.MLS_PUBLIC_MESSAGE
        signature = sign(suite, signer or self.signer, wire_format, content, public.context.encode())
        signed = AuthenticatedContent(wire_format, content, FramedContentAuthData(signature, b""))
        after = public.succeeded(path_context, fresh.tree, signed, b"").context
        psk = psk_secret_of(suite, applied, (psks,))
        _, start = after_commit(suite, init_secret, fresh.commit_secret, psk, after.encode())
        tag = start.secrets.confirmation_tag(suite, after.confirmed_transcript_hash)
        return frame(PublicMessage(content, replace(signed.auth, confirmation_tag=tag)))

    def resigned(self, leaf: LeafNode, leaf_index: int) -> LeafNode:
        return leaf.signed(self.inside.suite, self.signer, self.inside.group_id, leaf_index)
