"""Client: somebody who can be in groups, with a default for everything that need not be chosen at first.

It adds nothing to what the functions it calls can do; it remembers what they would be told again and again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from mls.capabilities import best_suite, own_capabilities
from mls.config import DAY_S, GroupConfig
from mls.credentials import basic
from mls.crypto import DEFAULT_PROFILE, CipherSuite, Profile, Random, SignaturePrivateKey, suite
from mls.entry import external_join, join
from mls.errors import MisuseError
from mls.extensions import Extensions
from mls.group import Group
from mls.key_packages import KeyPackageBundle, create_key_package
from mls.psks import NO_PSKS, PskName, Psks
from mls.registry import CredentialType
from mls.results import ExternalJoin
from mls.tree.nodes import Capabilities, Credential, Lifetime

HOUR_S = 60 * 60


@dataclass(frozen=True, slots=True)
class Client:
    """A credential and its signature key, in one cipher suite; what its leaves say; its settings and its randomness."""

    suite: CipherSuite
    credential: Credential
    signer: SignaturePrivateKey
    capabilities: Capabilities
    random: Random = field(repr=False)
    config: GroupConfig = field(default_factory=GroupConfig, repr=False)
    leaf_extensions: Extensions = ()
    lifetime_s: int = 90 * DAY_S  # of its leaves

    @classmethod
    def create(
        cls,
        credential: Credential | bytes,
        random: Random,
        *,
        suite_id: int | None = None,
        signer: SignaturePrivateKey | None = None,
        profile: Profile = DEFAULT_PROFILE,
        extension_types: Iterable[int] = (),
        proposal_types: Iterable[int] = (),
        leaf_extensions: Extensions = (),
        config: GroupConfig | None = None,
    ) -> Self:
        """A client; bytes for a credential are a basic one's identity.

        Unless told otherwise: the post-quantum hybrid of the profile, a new signature key, capabilities that list
        everything this engine supports, and credentials of the client's own type only. `extension_types` and
        `proposal_types` are the application's.
        """
        chosen = suite(
            best_suite([own_capabilities(profile=profile)], profile=profile) if suite_id is None else suite_id
        )
        shown = basic(credential) if isinstance(credential, bytes) else credential
        if not isinstance(shown, Credential):
            raise MisuseError(
                f"a credential, or bytes as a basic one's identity, is not of type {type(shown).__name__}"
            )
        types = (CredentialType(shown.credential_type),)
        return cls(
            suite=chosen,
            credential=shown,
            signer=signer or chosen.generate_signature_key(random),
            capabilities=own_capabilities(
                extension_types, random, profile, credentials=types, proposals=proposal_types
            ),
            random=random,
            config=config or GroupConfig(),
            leaf_extensions=leaf_extensions,
        )

    def key_package(self, now: int, *, extensions: Extensions = (), last_resort: bool = False) -> KeyPackageBundle:
        """A fresh key package: publish `.key_package`, keep the bundle, and delete it once a group was joined by it."""
        return create_key_package(
            self.suite.id,
            self.credential,
            self.signer,
            self.lifetime(now),
            self.capabilities,
            self.leaf_extensions,
            extensions,
            self.random,
            last_resort=last_resort,
        )

    def create_group(self, now: int, *, group_id: bytes | None = None, extensions: Extensions = ()) -> Group:
        """A group of one, of a random name unless one is given (V203). `extensions` are the group context's."""
        return Group.create(
            self.suite.id,
            self.random(self.suite.hash_size) if group_id is None else group_id,
            self.signer,
            self.credential,
            self.capabilities,
            self.leaf_extensions,
            extensions,
            self.random,
            self.lifetime(now),
            self.config,
        )

    def join(
        self,
        welcome: bytes,
        bundles: Sequence[KeyPackageBundle],
        now: int,
        *,
        tree: bytes | None = None,
        known_group_ids: Collection[bytes] = (),
        psks: Psks = NO_PSKS,
        predecessor: Group | None = None,
    ) -> Group:
        """As `mls.join`, with this client's settings."""
        return join(
            welcome,
            bundles,
            tree=tree,
            now=now,
            config=self.config,
            known_group_ids=known_group_ids,
            psks=psks,
            predecessor=predecessor,
        )

    def external_join(
        self,
        group_info: bytes,
        now: int,
        *,
        tree: bytes | None = None,
        replaces: int | None = None,
        inject: Sequence[PskName] = (),
        psks: Psks = NO_PSKS,
        references: Sequence[bytes] = (),
        known_group_ids: Collection[bytes] = (),
    ) -> ExternalJoin:
        """As `mls.external_join`, as this client."""
        return external_join(
            group_info,
            self.signer,
            self.credential,
            self.capabilities,
            self.random,
            now,
            tree=tree,
            leaf_extensions=self.leaf_extensions,
            replaces=replaces,
            inject=inject,
            psks=psks,
            references=references,
            known_group_ids=known_group_ids,
            config=self.config,
        )

    def lifetime(self, now: int) -> Lifetime:
        """Of a leaf made now; other clocks may be an hour behind."""
        return Lifetime(now - HOUR_S, now + self.lifetime_s)
