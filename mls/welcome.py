"""Welcome (RFC 9420 §12.4.3.1): what brings the newcomers of one Commit into its epoch."""

from mls.codec import Opaque, Struct, Vector, struct
from mls.crypto import HPKECiphertext
from mls.psks import PreSharedKeyID
from mls.registry import CipherSuiteId


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
