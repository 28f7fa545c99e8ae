"""The end of making a Commit (RFC 9420 §6.1, §8.2): its signature, the epoch it leads to, the tag that proves it."""

from dataclasses import dataclass, field, replace

from mls.authentication import sign
from mls.crypto import SignaturePrivateKey
from mls.framing import AuthenticatedContent, FramedContent, FramedContentAuthData
from mls.group_context import GroupContext
from mls.key_schedule import EpochStart, after_commit
from mls.proposals import ReInit
from mls.public_group import PublicGroup
from mls.registry import WireFormat
from mls.tree.ratchet import RatchetTree


@dataclass(frozen=True, slots=True)
class CommitSecrets:
    """What the new epoch is made from, KDF.Nh bytes each."""

    init_secret: bytes = field(repr=False)
    commit_secret: bytes = field(repr=False)
    psk_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A finished Commit, and the epoch it begins."""

    authenticated: AuthenticatedContent
    public: PublicGroup
    start: EpochStart
    joiner_secret: bytes = field(repr=False)

    @property
    def confirmation_tag(self) -> bytes:
        return self.authenticated.auth.confirmation_tag or b""


def confirm(
    public: PublicGroup,
    signer: SignaturePrivateKey,
    wire_format: WireFormat,
    content: FramedContent,
    path_context: GroupContext,
    tree: RatchetTree,
    secrets: CommitSecrets,
    reinit: ReInit | None = None,
) -> Confirmed:
    """`public` is the epoch that ends; `path_context` and `tree` are the new one's."""
    suite = public.suite
    signature = sign(suite, signer, wire_format, content, public.context.encode())
    unconfirmed = AuthenticatedContent(wire_format, content, FramedContentAuthData(signature, b""))
    context = public.succeeded(path_context, tree, unconfirmed, b"").context
    joiner, start = after_commit(
        suite, secrets.init_secret, secrets.commit_secret, secrets.psk_secret, context.encode()
    )
    tag = start.secrets.confirmation_tag(suite, context.confirmed_transcript_hash)
    authenticated = replace(unconfirmed, auth=FramedContentAuthData(signature, tag))
    return Confirmed(authenticated, public.succeeded(path_context, tree, authenticated, tag, reinit), start, joiner)
