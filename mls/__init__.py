"""RFC 9420 (Messaging Layer Security), sans-I/O: a group is a frozen value, and what changes it returns its successor.

Start at `Group` and `join`; `PublicGroup.check_commit` is what an observer without secrets can judge of a commit.
"""

from mls.application import ApplicationMessage
from mls.apply import Addition
from mls.capabilities import best_suite, own_capabilities
from mls.config import GroupConfig
from mls.credentials import CredentialCheck, CredentialRole, CredentialUse, accept_all, basic
from mls.crypto import (
    DEFAULT_PROFILE,
    PROFILES,
    Acceleration,
    HpkePrivateKey,
    PresentedName,
    Profile,
    Random,
    SignaturePrivateKey,
    X509Policy,
    accelerate,
    aead_open,
    aead_seal,
    argon2id,
    certificates_from_pem,
    ed25519_generate,
    ed25519_load,
    ed25519_sign,
    ed25519_verify,
    sha256,
    suite,
    supported_suites,
)
from mls.errors import (
    DuplicateError,
    FutureEpochError,
    InvalidError,
    MalformedError,
    MisuseError,
    MlsError,
    OwnCommitError,
    SnapshotError,
    StaleEpochError,
    UnopenableError,
)
from mls.extensions import (
    ExternalSender,
    RequiredCapabilities,
    application_id,
    application_id_extension,
    external_senders,
    external_senders_extension,
    find,
    required_capabilities_extension,
)
from mls.framing import frame
from mls.grease import grease_extension
from mls.group import Group, Joined, Member, OwnCommit, Staged, join, open_welcome
from mls.group_context import GroupContext
from mls.group_info import GroupInfo
from mls.join import observe
from mls.key_packages import KeyPackage, KeyPackageBundle, create_key_package
from mls.leaf_change import LeafChange
from mls.padding import MultipleOf, Padding, PowerOfTwo, no_padding
from mls.peek import (
    Peek,
    confirmed_transcript_hash,
    decode_key_package,
    key_package_reference,
    peek,
    welcome_references,
)
from mls.proposals import Proposal, add, group_context_extensions, remove
from mls.public_group import PublicGroup, PublicStaged
from mls.registry import (
    CipherSuiteId,
    ContentType,
    CredentialType,
    ExtensionType,
    LeafNodeSource,
    ProposalType,
    SenderType,
    WireFormat,
)
from mls.snapshot import Parts
from mls.tree.nodes import Capabilities, Credential, Extension, LeafNode, Lifetime
from mls.validation.key_packages import check_key_package
from mls.x509 import presented_names, signer_from_pem, x509, x509_check

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "Acceleration",
    "Addition",
    "ApplicationMessage",
    "Capabilities",
    "CipherSuiteId",
    "ContentType",
    "Credential",
    "CredentialCheck",
    "CredentialRole",
    "CredentialType",
    "CredentialUse",
    "DuplicateError",
    "Extension",
    "ExtensionType",
    "ExternalSender",
    "FutureEpochError",
    "Group",
    "GroupConfig",
    "GroupContext",
    "GroupInfo",
    "HpkePrivateKey",
    "InvalidError",
    "Joined",
    "KeyPackage",
    "KeyPackageBundle",
    "LeafChange",
    "LeafNode",
    "LeafNodeSource",
    "Lifetime",
    "MalformedError",
    "Member",
    "MisuseError",
    "MlsError",
    "MultipleOf",
    "OwnCommit",
    "OwnCommitError",
    "Padding",
    "Parts",
    "Peek",
    "PowerOfTwo",
    "PresentedName",
    "Profile",
    "Proposal",
    "ProposalType",
    "PublicGroup",
    "PublicStaged",
    "Random",
    "RequiredCapabilities",
    "SenderType",
    "SignaturePrivateKey",
    "SnapshotError",
    "Staged",
    "StaleEpochError",
    "UnopenableError",
    "WireFormat",
    "X509Policy",
    "accelerate",
    "accept_all",
    "add",
    "aead_open",
    "aead_seal",
    "application_id",
    "application_id_extension",
    "argon2id",
    "basic",
    "best_suite",
    "certificates_from_pem",
    "check_key_package",
    "confirmed_transcript_hash",
    "create_key_package",
    "decode_key_package",
    "ed25519_generate",
    "ed25519_load",
    "ed25519_sign",
    "ed25519_verify",
    "external_senders",
    "external_senders_extension",
    "find",
    "frame",
    "grease_extension",
    "group_context_extensions",
    "join",
    "key_package_reference",
    "no_padding",
    "observe",
    "open_welcome",
    "own_capabilities",
    "peek",
    "presented_names",
    "remove",
    "required_capabilities_extension",
    "sha256",
    "signer_from_pem",
    "suite",
    "supported_suites",
    "welcome_references",
    "x509",
    "x509_check",
]
