"""RFC 9420 (Messaging Layer Security), sans-I/O: a group is a frozen value, and what changes it returns its successor.

Start at `Client` and `Group`; `Observer` follows a group without its secrets. docs/mls.md shows all of it.
"""

from mls.application import ApplicationMessage
from mls.apply import Addition
from mls.capabilities import best_suite, own_capabilities
from mls.checked_commit import PublicStaged
from mls.client import Client
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
from mls.early import EarlyMessages
from mls.entry import external_join, join, open_welcome
from mls.errors import (
    DuplicateError,
    FutureEpochError,
    FutureHandshakeError,
    InvalidError,
    MalformedError,
    MisuseError,
    MlsError,
    OwnCommitError,
    SnapshotError,
    StaleEpochError,
    StaleHandshakeError,
    UnknownEpochError,
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
from mls.group import Group
from mls.group_context import GroupContext
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackage, KeyPackageBundle, create_key_package
from mls.leaf_change import LeafChange
from mls.observe import Vouched, observe, vouched
from mls.observer import Observer
from mls.outside import group_context_of, propose_from_outside, propose_own_add
from mls.padding import MultipleOf, Padding, PowerOfTwo, no_padding
from mls.peek import (
    Joiner,
    Peek,
    confirmed_transcript_hash,
    decode_key_package,
    external_joiner,
    key_package_reference,
    peek,
    removal_count,
    welcome_references,
)
from mls.policy import Policy
from mls.proposal_list import ListedProposal
from mls.proposals import (
    CustomProposal,
    Proposal,
    ReInit,
    add,
    custom,
    group_context_extensions,
    pre_shared_key,
    reinit,
    remove,
    self_remove,
)
from mls.psks import ExternalPsk, PskName, Psks, ResumptionPsk, external_psk, resumption_psk
from mls.public_group import PublicGroup
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
from mls.results import ExternalJoin, Joined, Member, OwnCommit, Staged
from mls.snapshot import Parts
from mls.tree.nodes import Capabilities, Credential, Extension, LeafNode, Lifetime
from mls.validation.key_packages import check_key_package
from mls.x509 import CertifiedClients, presented_names, signer_from_pem, x509, x509_check

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "Acceleration",
    "Addition",
    "ApplicationMessage",
    "Capabilities",
    "CertifiedClients",
    "CipherSuiteId",
    "Client",
    "ContentType",
    "Credential",
    "CredentialCheck",
    "CredentialRole",
    "CredentialType",
    "CredentialUse",
    "CustomProposal",
    "DuplicateError",
    "EarlyMessages",
    "Extension",
    "ExtensionType",
    "ExternalJoin",
    "ExternalPsk",
    "ExternalSender",
    "FutureEpochError",
    "FutureHandshakeError",
    "Group",
    "GroupConfig",
    "GroupContext",
    "GroupInfo",
    "HpkePrivateKey",
    "InvalidError",
    "Joined",
    "Joiner",
    "KeyPackage",
    "KeyPackageBundle",
    "LeafChange",
    "LeafNode",
    "LeafNodeSource",
    "Lifetime",
    "ListedProposal",
    "MalformedError",
    "Member",
    "MisuseError",
    "MlsError",
    "MultipleOf",
    "Observer",
    "OwnCommit",
    "OwnCommitError",
    "Padding",
    "Parts",
    "Peek",
    "Policy",
    "PowerOfTwo",
    "PresentedName",
    "Profile",
    "Proposal",
    "ProposalType",
    "PskName",
    "Psks",
    "PublicGroup",
    "PublicStaged",
    "Random",
    "ReInit",
    "RequiredCapabilities",
    "ResumptionPsk",
    "SenderType",
    "SignaturePrivateKey",
    "SnapshotError",
    "Staged",
    "StaleEpochError",
    "StaleHandshakeError",
    "UnknownEpochError",
    "UnopenableError",
    "Vouched",
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
    "custom",
    "decode_key_package",
    "ed25519_generate",
    "ed25519_load",
    "ed25519_sign",
    "ed25519_verify",
    "external_join",
    "external_joiner",
    "external_psk",
    "external_senders",
    "external_senders_extension",
    "find",
    "frame",
    "grease_extension",
    "group_context_extensions",
    "group_context_of",
    "join",
    "key_package_reference",
    "no_padding",
    "observe",
    "open_welcome",
    "own_capabilities",
    "peek",
    "pre_shared_key",
    "presented_names",
    "propose_from_outside",
    "propose_own_add",
    "reinit",
    "removal_count",
    "remove",
    "required_capabilities_extension",
    "resumption_psk",
    "self_remove",
    "sha256",
    "signer_from_pem",
    "suite",
    "supported_suites",
    "vouched",
    "welcome_references",
    "x509",
    "x509_check",
]
