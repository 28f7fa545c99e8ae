"""X.509 credentials (RFC 9420 §5.3): making one, and an authentication service that goes by certificate chains.

What any member can see without trusting anybody (that each entry is a certificate, that the first holds the leaf's
key, V051, V052) is checked of every credential by `mls.credentials`. Whom to believe is the application's: `x509_check`
makes a `CredentialCheck` of the roots it trusts.
"""

from collections.abc import Callable, Hashable, Sequence

from mls.credentials import CredentialCheck, CredentialRole, CredentialUse
from mls.crypto import PresentedName, SignaturePrivateKey, TrustStore, X509Policy, suite
from mls.crypto import last_valid as _last_valid
from mls.crypto import presented_names as _names_of
from mls.crypto import signer_from_pem as _signer_from_pem
from mls.errors import MisuseError
from mls.policy import Policy
from mls.registry import CredentialType
from mls.tree.nodes import Credential, LeafNode

Names = frozenset[PresentedName]
Clock = Callable[[], int]
Succession = Callable[[Names, Names], bool]
"""Whether a credential with the first names may be replaced by one with the second (§5.3.1)."""
Approval = Callable[[CredentialUse, Names], bool]
"""The last word, on a chain that is right: a list of revoked certificates, who may be in this group at all."""


def x509(certificates: Sequence[bytes]) -> Credential:
    """An X.509 credential of DER certificates, the member's own first, then those that lead towards the root (§5.3)."""
    if not certificates:
        raise MisuseError("an X.509 credential has at least the member's own certificate (V051)")
    return Credential(CredentialType.X509, tuple(certificates))


def presented_names(credential: Credential) -> Names:
    """What a credential calls its holder; a basic one's identity is one name, of the kind `basic`.

    They are what it says: `x509_check` has believed them once its check of the same credential has passed.
    """
    if credential.credential_type is CredentialType.BASIC:
        return frozenset((PresentedName("basic", credential.identity.hex()),))
    return _names_of(credential.certificates[0])


def signer_from_pem(suite_id: int, pem: bytes, password: bytes | None = None) -> SignaturePrivateKey:
    """The private key that goes with a certificate, for members of groups of that suite. Raises MisuseError."""
    return _signer_from_pem(suite(suite_id).signature, pem, password)


def same_names(old: Names, new: Names) -> bool:
    """The default succession: a member stays who it is, by every one of its names."""
    return bool(old) and old == new


def refuse_all(_use: CredentialUse) -> bool:
    return False


def approve_all(_use: CredentialUse, _names: Names) -> bool:
    return True


class CertifiedClients(Policy):
    """Clients told apart by the names in their certificates: who comes back may have a new one (V137, V198, V199)."""

    def client_of(self, leaf: LeafNode) -> Hashable:
        return presented_names(leaf.credential) or leaf.credential


def x509_check(
    roots: Sequence[bytes],
    now: int | Clock,
    *,
    policy: X509Policy | None = None,
    intermediates: Sequence[bytes] = (),
    succeeds: Succession = same_names,
    approve: Approval = approve_all,
    accept_expired_members: bool = False,
    others: CredentialCheck = refuse_all,
) -> CredentialCheck:
    """An authentication service over these roots, for `GroupConfig.validate_credential`.

    `roots` and `intermediates` (what members may leave out of their chains) are DER certificates. `now` is Unix
    seconds, or a function that tells them: a group outlives the moment its settings were made. `others` judges
    credentials that are not X.509.

    Expiry (§5.3.2, V059): nobody who is in the group is asked again, so what a member signs is good whether or not its
    certificate has expired since. A Commit that the group follows already (`stage(accepted=True)`) is judged by the
    last moment at which its chains were valid. So are the members of a group joined, if `accept_expired_members`.

    Raises MisuseError where there is no root, or something is no certificate.
    """
    store = TrustStore(roots, intermediates, policy)

    def check(use: CredentialUse) -> bool:
        if use.credential.credential_type is not CredentialType.X509:
            return others(use)
        chain = use.credential.certificates
        moment = now if isinstance(now, int) else now()
        if use.accepted or (accept_expired_members and use.role is CredentialRole.MEMBER):
            moment = min(moment, _last_valid(chain))
        if not store.validates(chain, moment):
            return False
        names = presented_names(use.credential)
        if use.replaces is not None and not succeeds(presented_names(use.replaces.credential), names):
            return False
        return approve(use, names)

    return check
