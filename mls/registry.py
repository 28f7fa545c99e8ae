"""Code points of RFC 9420 (§6, §17), and the sets of them that the rules speak of."""

from mls.codec import Enum8, Enum16, OpenEnum16


class ProtocolVersion(Enum16):
    """A message of any other version is not processed (V006)."""

    MLS10 = 1

    @classmethod
    def broken_rule(cls) -> str:
        return "V006"


class CipherSuiteId(OpenEnum16):
    """Cipher suites: RFC 9420 §17.1, then draft-ietf-mls-pq-ciphersuites-06 (its TBD1 to TBD11).

    The draft's have no assigned numbers yet: these are OpenMLS's, and `mls.crypto.profiles` knows others.
    """

    MLS_128_DHKEMX25519_AES128GCM_SHA256_ED25519 = 1
    MLS_128_DHKEMP256_AES128GCM_SHA256_P256 = 2
    MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_ED25519 = 3
    MLS_256_DHKEMX448_AES256GCM_SHA512_ED448 = 4
    MLS_256_DHKEMP521_AES256GCM_SHA512_P521 = 5
    MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_ED448 = 6
    MLS_256_DHKEMP384_AES256GCM_SHA384_P384 = 7
    MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519 = 0xF050
    MLS_128_MLKEM768X25519_AES256GCM_SHA384_ED25519 = 0xF051
    MLS_128_MLKEM768P256_AES128GCM_SHA256_P256 = 0xF052
    MLS_128_MLKEM768P256_AES256GCM_SHA384_P256 = 0xF053
    MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384 = 0xF058
    MLS_128_MLKEM768_AES256GCM_SHA384_ED25519 = 0xF042
    MLS_128_MLKEM768_AES256GCM_SHA384_P256 = 0xF054
    MLS_192_MLKEM1024_AES256GCM_SHA384_P384 = 0xF059
    MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44 = 0xF055
    MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65 = 0xF056
    MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87 = 0xF057


class WireFormat(Enum16):
    MLS_PUBLIC_MESSAGE = 1
    MLS_PRIVATE_MESSAGE = 2
    MLS_WELCOME = 3
    MLS_GROUP_INFO = 4
    MLS_KEY_PACKAGE = 5


class ContentType(Enum8):
    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


class SenderType(Enum8):
    MEMBER = 1
    EXTERNAL = 2
    NEW_MEMBER_PROPOSAL = 3
    NEW_MEMBER_COMMIT = 4


class LeafNodeSource(Enum8):
    KEY_PACKAGE = 1
    UPDATE = 2
    COMMIT = 3


class NodeType(Enum8):
    LEAF = 1
    PARENT = 2


class ProposalOrRefType(Enum8):
    PROPOSAL = 1
    REFERENCE = 2


class PSKType(Enum8):
    EXTERNAL = 1
    RESUMPTION = 2


class ResumptionPSKUsage(Enum8):
    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


class ExtensionType(OpenEnum16):
    APPLICATION_ID = 1
    RATCHET_TREE = 2
    REQUIRED_CAPABILITIES = 3
    EXTERNAL_PUB = 4
    EXTERNAL_SENDERS = 5
    LAST_RESORT = 0x000A  # of KeyPackages; draft-ietf-mls-extensions


class ProposalType(OpenEnum16):
    ADD = 1
    UPDATE = 2
    REMOVE = 3
    PSK = 4
    REINIT = 5
    EXTERNAL_INIT = 6
    GROUP_CONTEXT_EXTENSIONS = 7
    SELF_REMOVE = 0x000A  # draft-ietf-mls-extensions


class CredentialType(OpenEnum16):
    BASIC = 1
    X509 = 2


RFC9420_CIPHER_SUITES = tuple(each for each in CipherSuiteId if each <= 7)
"""The seven with numbers that IANA has assigned."""

DEFAULT_EXTENSION_TYPES = frozenset(int(each) for each in ExtensionType if each <= 5)
"""Supported by every client, so never listed in capabilities (RFC 9420 §7.2, V068)."""

DEFAULT_PROPOSAL_TYPES = frozenset(range(ProposalType.ADD, ProposalType.GROUP_CONTEXT_EXTENSIONS + 1))
"""Supported by every client, so never listed in capabilities (RFC 9420 §7.2, V068)."""

SUPPORTED_PROPOSAL_TYPES = (ProposalType.SELF_REMOVE,)
"""Those beyond the default ones that this engine carries out; they are listed in capabilities (V219)."""

PATH_REQUIRED_PROPOSAL_TYPES = frozenset(
    (
        ProposalType.UPDATE,
        ProposalType.REMOVE,
        ProposalType.EXTERNAL_INIT,
        ProposalType.GROUP_CONTEXT_EXTENSIONS,
        ProposalType.SELF_REMOVE,
    )
)
"""A Commit with one of these has a path (RFC 9420 §12.4, §17.4; V150)."""

EXTERNAL_SENDER_PROPOSAL_TYPES = frozenset(
    (
        ProposalType.ADD,
        ProposalType.REMOVE,
        ProposalType.PSK,
        ProposalType.REINIT,
        ProposalType.GROUP_CONTEXT_EXTENSIONS,
    )
)
"""What an external sender may propose (RFC 9420 §12.1.8, §17.4; V025)."""

LEAF_EXTENSION_TYPES = frozenset((ExtensionType.APPLICATION_ID,))
GROUP_INFO_EXTENSION_TYPES = frozenset((ExtensionType.RATCHET_TREE, ExtensionType.EXTERNAL_PUB))
GROUP_CONTEXT_EXTENSION_TYPES = frozenset((ExtensionType.REQUIRED_CAPABILITIES, ExtensionType.EXTERNAL_SENDERS))
"""Where each extension of RFC 9420 may appear (§17.3, V010)."""

GREASE_VALUES = frozenset(0x0A0A + 0x1010 * step for step in range(15))
"""Reserved to keep peers tolerant of unknown values (RFC 9420 §13.5); on receipt they are unknown values (V019)."""


PRIVATE_USE = range(0xF000, 0x10000)
"""What every registry leaves to private use (RFC 9420 §17): an application's own proposal types are of these."""
