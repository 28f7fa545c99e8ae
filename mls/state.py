"""Everything a member holds of a group, as one frozen value; the verbs (`commit`, `stage`, `messages`, …) work on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mls.config import GroupConfig
from mls.crypto import CipherSuite, HpkePrivateKey, SignaturePrivateKey
from mls.framing import AuthenticatedContent
from mls.key_schedule import EpochSecrets
from mls.past_epochs import PastEpoch
from mls.public_group import PublicGroup
from mls.secret_tree import SecretTree


@dataclass(frozen=True, slots=True)
class OwnProposal:
    """A proposal we sent in this epoch, and the keys it brings if it is our Update.

    Our own PrivateMessage cannot be opened by us; `digest` (SHA-256 of the message) finds its content again.
    """

    digest: bytes
    authenticated: AuthenticatedContent
    encryption_key: HpkePrivateKey | None = None
    signer: SignaturePrivateKey | None = None


@dataclass(frozen=True, slots=True)
class GroupState:
    """One member's view of one epoch. Secret where `PublicGroup` is not."""

    public: PublicGroup
    own_leaf: int
    signer: SignaturePrivateKey
    private_keys: Mapping[int, HpkePrivateKey] = field(repr=False)  # by node index, own leaf to root
    secrets: EpochSecrets = field(repr=False)
    secret_tree: SecretTree = field(repr=False)
    confirmation_tag: bytes
    own_proposals: tuple[OwnProposal, ...] = ()
    past: tuple[PastEpoch, ...] = field(default=(), repr=False)  # newest first
    config: GroupConfig = field(default=GroupConfig(), repr=False)

    @property
    def suite(self) -> CipherSuite:
        return self.public.suite
