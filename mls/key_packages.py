"""KeyPackages (RFC 9420 §10): what a client publishes so that others can add it while it is away."""

from dataclasses import dataclass, field, replace
from typing import Self

from mls.capabilities import check_own_leaf
from mls.codec import KeptStruct, Opaque, Struct, Vector, struct, without_last_opaque
from mls.credentials import basic
from mls.crypto import CipherSuite, HpkePrivateKey, Random, SignaturePrivateKey, is_supported, suite
from mls.errors import InvalidError, MalformedError, MisuseError, SnapshotError
from mls.extensions import Extensions, find
from mls.registry import CipherSuiteId, ExtensionType, LeafNodeSource, ProtocolVersion
from mls.tree.nodes import Capabilities, Credential, Extension, LeafNode, Lifetime

KEY_PACKAGE_REF_LABEL = "MLS 1.0 KeyPackage Reference"
KEY_PACKAGE_LABEL = "KeyPackageTBS"
BUNDLE_FORMAT = 1


@struct
class KeyPackageTBS(Struct):
    version: ProtocolVersion
    cipher_suite: CipherSuiteId
    init_key: Opaque
    leaf_node: LeafNode
    extensions: Vector[Extension]


@struct
class KeyPackage(KeptStruct):
    """A leaf ready to be put into a tree, and a key to welcome its owner with (§10)."""

    version: ProtocolVersion
    cipher_suite: CipherSuiteId
    init_key: Opaque
    leaf_node: LeafNode
    extensions: Vector[Extension]
    signature: Opaque

    @property
    def is_last_resort(self) -> bool:
        """Whether its owner says that it may be used more than once, where it has no other (§16.8)."""
        return find(self.extensions, ExtensionType.LAST_RESORT) is not None

    def to_be_signed(self) -> bytes:
        """KeyPackageTBS: the package up to its signature."""
        return without_last_opaque(self.encode(), self.signature)

    @property
    def reference(self) -> bytes:
        """KeyPackageRef (§5.2), under the package's own suite. Raises InvalidError for one we do not have."""
        if not is_supported(self.cipher_suite):
            raise InvalidError("V083", f"a KeyPackage for cipher suite {self.cipher_suite:d}, which we do not have")
        return suite(self.cipher_suite).ref_hash(KEY_PACKAGE_REF_LABEL, self.encode())


@struct
class _BundleBytes(Struct):
    key_package: KeyPackage
    init_key: Opaque
    encryption_key: Opaque
    signer: Opaque


@dataclass(frozen=True, slots=True)
class KeyPackageBundle:
    """A KeyPackage of ours with its private keys. Used for one join, then deleted (V091), unless a last resort."""

    key_package: KeyPackage
    init_key: HpkePrivateKey = field(repr=False)
    encryption_key: HpkePrivateKey = field(repr=False)
    signer: SignaturePrivateKey = field(repr=False)

    @property
    def reference(self) -> bytes:
        return self.key_package.reference

    @property
    def suite(self) -> CipherSuite:
        return suite(self.key_package.cipher_suite)

    def to_bytes(self) -> bytes:
        """A versioned form with the private keys in it; whoever keeps it encrypts it."""
        keys = (self.init_key.to_bytes(), self.encryption_key.to_bytes(), self.signer.to_bytes())
        return BUNDLE_FORMAT.to_bytes(2, "big") + _BundleBytes(self.key_package, *keys).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises SnapshotError for another version, MalformedError for bytes that are no bundle."""
        version = int.from_bytes(data[:2], "big")
        if version != BUNDLE_FORMAT:
            raise SnapshotError("a key package bundle", version, BUNDLE_FORMAT)
        kept = _BundleBytes.decode(data[2:])
        if not is_supported(kept.key_package.cipher_suite):
            raise MalformedError("a key package bundle for a cipher suite that this engine does not have")
        row = suite(kept.key_package.cipher_suite)
        return cls(
            kept.key_package,
            row.load_hpke_key(kept.init_key),
            row.load_hpke_key(kept.encryption_key),
            row.load_signature_key(kept.signer),
        )


def create_key_package(
    suite_id: int,
    credential: Credential | bytes,
    signer: SignaturePrivateKey,
    lifetime: Lifetime,
    capabilities: Capabilities,
    leaf_extensions: Extensions,
    extensions: Extensions,
    random: Random,
    *,
    last_resort: bool = False,
) -> KeyPackageBundle:
    """A fresh KeyPackage with fresh init and leaf keys (V090); bytes for a credential are a basic one's identity.

    One of `last_resort` is marked as reusable (draft-ietf-mls-extensions), in its extensions and capabilities.
    Raises MisuseError where the leaf says less of itself than it uses (V066 to V069, V089).
    """
    row = suite(suite_id)
    if last_resort:
        extensions = (*extensions, Extension(ExtensionType.LAST_RESORT, b""))
        capabilities = _listing(capabilities, ExtensionType.LAST_RESORT)
    init_key, encryption_key = row.generate_hpke_key(random), row.generate_hpke_key(random)
    if init_key.public == encryption_key.public:
        raise MisuseError("this source of randomness repeats itself (V086)")
    leaf = LeafNode(
        encryption_key=encryption_key.public,
        signature_key=signer.public,
        credential=basic(credential) if isinstance(credential, bytes) else credential,
        capabilities=capabilities,
        leaf_node_source=LeafNodeSource.KEY_PACKAGE,
        lifetime=lifetime,
        parent_hash=None,
        extensions=leaf_extensions,
    )
    check_own_leaf(leaf, row.id, extensions)
    content = KeyPackageTBS(
        ProtocolVersion.MLS10, row.id, init_key.public, leaf.signed(row, signer, b"", 0), extensions
    )
    signature = row.sign_with_label(signer, KEY_PACKAGE_LABEL, content.encode())
    package = KeyPackage(
        content.version, content.cipher_suite, content.init_key, content.leaf_node, extensions, signature
    )
    return KeyPackageBundle(package, init_key, encryption_key, signer)


def _listing(capabilities: Capabilities, extension_type: int) -> Capabilities:
    if extension_type in capabilities.extensions:
        return capabilities
    return replace(capabilities, extensions=(*capabilities.extensions, extension_type))
