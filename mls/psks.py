"""Pre-shared keys (RFC 9420 §8.4): how a message names them, and how those it names become the epoch's psk_secret.

The keys themselves come from the caller, as a mapping from names to keys; a group adds those it remembers of its own
epochs. A resumption key is the same whatever it is used for, so as the name of a key its usage is `application`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

from mls.codec import Opaque, Select, Struct, Uint64, struct
from mls.crypto import CipherSuite
from mls.errors import UnopenableError
from mls.key_schedule import psk_secret
from mls.registry import PSKType, ResumptionPSKUsage


@struct
class ExternalPsk(Struct):
    """A key the application brought, by the name it gave it."""

    psk_id: Opaque


@struct
class ResumptionPsk(Struct):
    """A key that stands for having been in an epoch of a group."""

    usage: ResumptionPSKUsage
    psk_group_id: Opaque
    psk_epoch: Uint64


PskName = ExternalPsk | ResumptionPsk

Psks = Mapping[PskName, bytes]
"""Keys at hand. Any mapping does, one that looks a key up when it is asked for among them."""

NO_PSKS: Psks = MappingProxyType({})


@struct
class PreSharedKeyID(Struct):
    """Which key, and the nonce that makes this use of it unique (KDF.Nh bytes, V099)."""

    psktype: PSKType
    body: Annotated[
        ExternalPsk | ResumptionPsk,
        Select("psktype", {PSKType.EXTERNAL: ExternalPsk, PSKType.RESUMPTION: ResumptionPsk}),
    ]
    psk_nonce: Opaque

    @property
    def usage(self) -> ResumptionPSKUsage | None:
        """None for an external key."""
        return self.body.usage if isinstance(self.body, ResumptionPsk) else None

    @property
    def name(self) -> PskName:
        """The key without this use of it: what `Psks` are asked for."""
        if isinstance(self.body, ResumptionPsk):
            return replace(self.body, usage=ResumptionPSKUsage.APPLICATION)
        return self.body


def external_psk(psk_id: bytes) -> PskName:
    """The name of a key the application brings."""
    return ExternalPsk(psk_id)


def resumption_psk(group_id: bytes, epoch: int) -> PskName:
    """The name of a group's resumption key of an epoch."""
    return ResumptionPsk(ResumptionPSKUsage.APPLICATION, group_id, epoch)


def psk_id(name: PskName, nonce: bytes) -> PreSharedKeyID:
    """A use of that key. `nonce` is fresh, random and KDF.Nh bytes long (V102)."""
    kind = PSKType.EXTERNAL if isinstance(name, ExternalPsk) else PSKType.RESUMPTION
    return PreSharedKeyID(kind, name, nonce)


def secret_of(suite: CipherSuite, ids: Sequence[PreSharedKeyID], at_hand: Sequence[Psks], rule: str) -> bytes:
    """The psk_secret of these uses, in their order (V160); zero bytes when there are none.

    Raises UnopenableError for a key that is not at hand: V207 for a resumption key, else `rule`.
    """
    return psk_secret(suite, [(each.encode(), _find(each, at_hand, rule)) for each in ids])


def _find(wanted: PreSharedKeyID, at_hand: Sequence[Psks], rule: str) -> bytes:
    name = wanted.name
    for psks in at_hand:
        found = psks.get(name)
        if found is not None:
            return found
    if isinstance(name, ResumptionPsk):
        raise UnopenableError(f"the resumption key of epoch {name.psk_epoch} of a group is not at hand", "V207")
    raise UnopenableError("a pre-shared key that is not at hand", rule)
