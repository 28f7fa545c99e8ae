"""The encoding of everything that is ours between nodes and at rest: versioned msgpack arrays, one form each.

A class deriving from `Wire` declares its fields once, in wire order, with their bounds. On the wire it is the
array `[version, field, ...]`. Decoding is strict: exact length, exact types, bounds, then the invariants of the
class (`__post_init__`), and at last the value must encode back to the very bytes that were read, so two
encodings of one value cannot exist. What is *signed* is never these bytes: `framed` builds it from the fields.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Annotated, Any, ClassVar, Final, NewType, Self, cast

import msgspec
from msgspec import Meta

from ordering.errors import MalformedError
from ordering.limits import (
    COMMITTEE_MAX,
    EPOCH_MAX,
    GROUP_ID_SIZE_MAX,
    LEAF_MAX,
    SIGNATURE_SIZE_MAX,
    VIEW_MAX,
)

FORMAT_VERSION: Final = 1

BundleId = NewType("BundleId", bytes)
InstanceId = NewType("InstanceId", bytes)

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
VoteKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
VoteSignature = Annotated[bytes, Meta(min_length=64, max_length=64)]
LeafSignature = Annotated[bytes, Meta(max_length=SIGNATURE_SIZE_MAX)]
GroupId = Annotated[bytes, Meta(max_length=GROUP_ID_SIZE_MAX)]
Epoch = Annotated[int, Meta(ge=0, le=EPOCH_MAX)]
View = Annotated[int, Meta(ge=0, le=VIEW_MAX)]
VoterIndex = Annotated[int, Meta(ge=0, lt=COMMITTEE_MAX)]
LeafIndex = Annotated[int, Meta(ge=0, le=LEAF_MAX)]

_SIZE: Final = Struct(">I").pack
_NUMBER: Final = Struct(">IQ").pack  # behind its size

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=FORMAT_VERSION):
    """A frozen value with exactly one encoding."""

    SIZE_MAX: ClassVar[int] = 0
    """Bytes; larger inputs are refused before they are looked at."""

    def encode(self) -> bytes:
        """The one encoding of this value."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a value that fills `data` exactly; raises `MalformedError`, the sender's fault."""
        name = cls.__name__
        if len(data) > cls.SIZE_MAX:
            raise MalformedError(f"{name} of {len(data)} bytes, at most {cls.SIZE_MAX} are read")
        version = _version(data)
        if version is not None and version != FORMAT_VERSION:
            raise MalformedError(f"{name} of format version {version}; this node reads version {FORMAT_VERSION}")
        decoder = _decoders.get(cls)
        if decoder is None:
            decoder = _decoders[cls] = msgspec.msgpack.Decoder(cls)
        try:
            value = decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(f"not a {name}: {error}") from error
        if value.encode() != data:
            raise MalformedError(f"not the canonical encoding of a {name}")
        return cast(Self, value)


def _version(data: bytes) -> int | None:
    """The version in the first slot of a short msgpack array, when it is written in one byte."""
    if len(data) >= 2 and data[0] & 0xF0 == 0x90 and data[1] < 0x80:
        return data[1]
    return None


def framed(label: str, *fields: bytes | int) -> bytes:
    """A label and fields as one unambiguous byte string: each part behind its own length.

    Integers are eight bytes, big endian. Every signature and every hash of this package is over such a string, so
    no two of them can be confused: the labels differ, and within a label the parts cannot shift.
    """
    name = label.encode("ascii")
    parts = [_SIZE(len(name)), name]
    for part in fields:
        if isinstance(part, int):
            parts.append(_NUMBER(8, part))
        else:
            parts += (_SIZE(len(part)), part)
    return b"".join(parts)


def digest(label: str, *fields: bytes | int) -> bytes:
    """SHA-256 of `framed(label, *fields)`, 32 bytes."""
    return sha256(framed(label, *fields)).digest()
