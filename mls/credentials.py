"""Credentials (RFC 9420 §5.3): who a leaf says it is, and the application's word on whether to believe it."""

from collections.abc import Callable
from dataclasses import dataclass

from mls.errors import InvalidError
from mls.registry import CredentialType
from mls.tree.nodes import Credential, LeafNode


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """A credential about to be believed: beside which key, and in place of which leaf (None for a newcomer)."""

    credential: Credential
    signature_key: bytes
    replaces: LeafNode | None = None


SUPPORTED_CREDENTIAL_TYPES = frozenset((CredentialType.BASIC,))
"""Those this engine can judge (V061)."""

CredentialCheck = Callable[[CredentialUse], bool]
"""The application's authentication service (§5.3.1). It has to answer alike on every member."""


def accept_all(_use: CredentialUse) -> bool:
    """The check of an application that authenticates its members by other means."""
    return True


def basic(identity: bytes) -> Credential:
    """A basic credential: a bare name (§5.3)."""
    return Credential(CredentialType.BASIC, identity)


def check_credential(credential: Credential) -> None:
    """Refuse credential types that this engine does not judge yet."""
    if credential.credential_type not in SUPPORTED_CREDENTIAL_TYPES:
        raise InvalidError("V061", f"credentials of type {credential.credential_type:d} are not yet supported")


def check_use(check: CredentialCheck, use: CredentialUse, rule: str) -> None:
    """Ask the application about a credential that came in (V053 to V058)."""
    if not check(use):
        raise InvalidError(rule, "a credential the application does not accept")
