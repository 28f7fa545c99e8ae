"""Welcome (RFC 9420 §12.4.3.1): what brings the newcomers of one Commit into its epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mls.codec import Opaque, Struct, Vector, struct
from mls.crypto import CipherSuite, HPKECiphertext, Random
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackage
from mls.key_schedule import welcome_key, welcome_secret
from mls.psks import PreSharedKeyID
from mls.registry import CipherSuiteId

WELCOME_LABEL = "Welcome"


@struct
class PathSecret(Struct):
    path_secret: Opaque

    def __repr__(self) -> str:
        return "PathSecret(hidden)"


@struct
class GroupSecrets(Struct):
    """What one newcomer needs: the joiner secret, and its path secret when the Commit had a path (V224)."""

    joiner_secret: Opaque
    path_secret: PathSecret | None
    psks: Vector[PreSharedKeyID]

    def __repr__(self) -> str:
        return "GroupSecrets(hidden)"


@struct
class EncryptedGroupSecrets(Struct):
    """Group secrets sealed to the init key of the KeyPackage with this reference."""

    new_member: Opaque
    encrypted_group_secrets: HPKECiphertext


@struct
class Welcome(Struct):
    """One entry for each newcomer, and the GroupInfo they share, sealed under the welcome secret."""

    cipher_suite: CipherSuiteId
    secrets: Vector[EncryptedGroupSecrets]
    encrypted_group_info: Opaque


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Whom a Welcome is for, and the path secret of its lowest common ancestor with the committer, if there is one."""

    key_package: KeyPackage
    path_secret: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinerPsks:
    """The PSKs of the Commit, in its order (V200), and what came of them."""

    ids: tuple[PreSharedKeyID, ...]
    secret: bytes = field(repr=False)


def seal_welcome(
    suite: CipherSuite,
    group_info: GroupInfo,
    joiner_secret: bytes,
    newcomers: Sequence[Newcomer],
    psks: JoinerPsks,
    random: Random,
) -> Welcome:
    """One Welcome for these newcomers of a Commit (V201)."""
    key, nonce = welcome_key(suite, welcome_secret(suite, joiner_secret, psks.secret))
    sealed_info = suite.aead_seal(key, nonce, group_info.encode())
    encrypt = suite.encryption_with_label(WELCOME_LABEL, sealed_info)
    secrets = []
    for each in newcomers:
        path_secret = None if each.path_secret is None else PathSecret(each.path_secret)
        content = GroupSecrets(joiner_secret, path_secret, psks.ids).encode()
        sealed = encrypt(each.key_package.init_key, content, random)
        secrets.append(EncryptedGroupSecrets(each.key_package.reference, sealed))
    return Welcome(suite.id, tuple(secrets), sealed_info)
