"""What the service's methods take and give beside plain values: one dataclass for each message of the definition.

Field names are the definition's; `service` carries values over by them.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ExtensionValue:
    """The definition's Extension."""

    extension_type: int
    extension_data: bytes


@dataclass(frozen=True, slots=True)
class PreSharedKeyValue:
    """The definition's PreSharedKey: an external one, by its name."""

    psk_id: bytes
    psk_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProposalDescription:
    """A proposal to be made; which fields count is up to `proposal_type`."""

    proposal_type: bytes
    key_package: bytes = b""
    removed_id: bytes = b""
    psk_id: bytes = b""
    epoch_id: int = 0
    extensions: tuple[ExtensionValue, ...] = ()
    group_id: bytes = b""
    cipher_suite: int = 0


@dataclass(frozen=True, slots=True)
class NameResponse:
    name: str


@dataclass(frozen=True, slots=True)
class SupportedCiphersuitesResponse:
    ciphersuites: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CreateGroupResponse:
    state_id: int


@dataclass(frozen=True, slots=True)
class CreateKeyPackageResponse:
    transaction_id: int
    key_package: bytes
    init_priv: bytes = field(repr=False)
    encryption_priv: bytes = field(repr=False)
    signature_priv: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinGroupResponse:
    state_id: int
    epoch_authenticator: bytes


@dataclass(frozen=True, slots=True)
class ExternalJoinResponse:
    state_id: int
    commit: bytes
    epoch_authenticator: bytes


@dataclass(frozen=True, slots=True)
class GroupInfoResponse:
    group_info: bytes
    ratchet_tree: bytes


@dataclass(frozen=True, slots=True)
class StateAuthResponse:
    state_auth_secret: bytes


@dataclass(frozen=True, slots=True)
class ExportResponse:
    exported_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProtectResponse:
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class UnprotectResponse:
    authenticated_data: bytes
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StorePSKResponse:
    pass


@dataclass(frozen=True, slots=True)
class ProposalResponse:
    proposal: bytes


@dataclass(frozen=True, slots=True)
class CommitResponse:
    commit: bytes
    welcome: bytes
    ratchet_tree: bytes


@dataclass(frozen=True, slots=True)
class HandleCommitResponse:
    state_id: int
    epoch_authenticator: bytes


@dataclass(frozen=True, slots=True)
class HandleReInitCommitResponse:
    reinit_id: int
    key_package: bytes
    epoch_authenticator: bytes


@dataclass(frozen=True, slots=True)
class CreateSubgroupResponse:
    state_id: int
    welcome: bytes
    ratchet_tree: bytes
    epoch_authenticator: bytes


@dataclass(frozen=True, slots=True)
class HandleBranchResponse:
    state_id: int
    epoch_authenticator: bytes


@dataclass(frozen=True, slots=True)
class NewMemberAddProposalResponse:
    transaction_id: int
    proposal: bytes
    init_priv: bytes = field(repr=False)
    encryption_priv: bytes = field(repr=False)
    signature_priv: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreateExternalSignerResponse:
    signer_id: int
    external_sender: bytes


@dataclass(frozen=True, slots=True)
class FreeResponse:
    pass
