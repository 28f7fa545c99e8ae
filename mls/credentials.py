"""Credentials (RFC 9420 §5.3): who a leaf says it is, and the application's word on whether to believe it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from mls.crypto import CipherSuite, check_certificates
from mls.errors import InvalidError
from mls.registry import CredentialType
from mls.tree.nodes import Credential, LeafNode


class CredentialRole(Enum):
    """As what somebody is about to be believed."""

    NEWCOMER = auto()  # to be added, or to replace a member's leaf by an Update, a path or an external Commit
    MEMBER = auto()  # found in the tree of a group that is being joined or observed
    EXTERNAL_SENDER = auto()  # allowed to propose from outside


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """A credential about to be believed: beside which key, as what, in place of which leaf (None for a newcomer).

    `accepted`: in a Commit that the group follows already, perhaps for months. That it was right then is what counts.
    """

    credential: Credential
    signature_key: bytes
    replaces: LeafNode | None = None
    role: CredentialRole = CredentialRole.NEWCOMER
    accepted: bool = False


SUPPORTED_CREDENTIAL_TYPES = frozenset((CredentialType.BASIC, CredentialType.X509))
"""Those this engine can read (V061)."""

CredentialCheck = Callable[[CredentialUse], bool]
"""The application's authentication service (§5.3.1). It has to answer alike on every member.

It is asked about: a KeyPackage that is added, whoever proposed it (V053, V055); every member of a group that is joined
or observed (V054); an Update's or a path's new credential or key (V056, V057); external senders, when a group is made
or joined and when its list changes (V058); an external joiner (V218). A basic credential is a bare name: whether the
key beside it is that person's, only the application can know.
"""


def accept_all(_use: CredentialUse) -> bool:
    """The check of an application that authenticates its members by other means."""
    return True


def basic(identity: bytes) -> Credential:
    """A basic credential: a bare name (§5.3)."""
    return Credential(CredentialType.BASIC, identity)


def check_credential(suite: CipherSuite, credential: Credential, signature_key: bytes) -> None:
    """What a credential has to be beside that key before anyone is asked whether to believe it (V051, V052, V061)."""
    if credential.credential_type is CredentialType.BASIC:
        return
    if credential.credential_type is not CredentialType.X509:
        raise InvalidError("V061", f"credentials of type {credential.credential_type:d} are not supported")
    check_certificates(suite.signature, credential.certificates, signature_key)


def as_accepted(check: CredentialCheck) -> CredentialCheck:
    """The same service, told that what it is asked about has long been accepted by the group."""

    def ask(use: CredentialUse) -> bool:
        return check(replace(use, accepted=True))

    return ask


def check_use(check: CredentialCheck, use: CredentialUse, rule: str) -> None:
    """Ask the application about a credential that came in (V053 to V058)."""
    if not check(use):
        raise InvalidError(rule, "a credential the application does not accept")
