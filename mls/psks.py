"""Pre-shared key identifiers (RFC 9420 §8.4): decoded and encoded here, not yet injected into an epoch."""

from typing import Annotated

from mls.codec import Opaque, Select, Struct, Uint64, struct
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


@struct
class PreSharedKeyID(Struct):
    """Which key, and the nonce that makes this use of it unique (KDF.Nh bytes, V099)."""

    psktype: PSKType
    body: Annotated[
        ExternalPsk | ResumptionPsk,
        Select("psktype", {PSKType.EXTERNAL: ExternalPsk, PSKType.RESUMPTION: ResumptionPsk}),
    ]
    psk_nonce: Opaque
