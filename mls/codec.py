"""The TLS presentation language of RFC 9420 §2: a wire struct is declared once, in wire order.

    @struct
    class GroupContext(Struct):
        version: ProtocolVersion          # a closed or open enumeration with its width
        cipher_suite: CipherSuiteId
        group_id: Opaque                  # opaque group_id<V>
        epoch: Uint64
        extensions: Vector[Extension]     # Extension extensions<V>
        signer: LeafNode | None           # optional<LeafNode>
        reuse_guard: ReuseGuard           # ReuseGuard = Annotated[bytes, Fixed(4)]

The decorator makes a frozen, slotted dataclass and compiles its reader and writer once. `select` has two forms.
One field whose type depends on an earlier one:

        content_type: ContentType
        content: Annotated[
            bytes | Proposal | Commit,
            Select("content_type", {
                ContentType.APPLICATION: Opaque,
                ContentType.PROPOSAL: Proposal,
                ContentType.COMMIT: Commit,       # None as a case: an empty struct, the field holds None
            }),
        ]

(`beyond=(range(8, 16), Opaque)` would be one more case, for all of a range that have none), and fields that exist for
some values only, holding None otherwise:

        sender_type: SenderType
        leaf_index: Annotated[Uint32 | None, When("sender_type", SenderType.MEMBER)] = None

A value whose type is told by a number in front of it needs no struct around the two:

    TreeNode = Annotated[LeafNode | ParentNode, Tagged(NodeType, {NodeType.LEAF: LeafNode, ...})]

A struct of `opaque<V>` fields that comes in thousands, of which one is wanted, stays bytes until then:

    sealed: Vector[Annotated[bytes, Encoded(HPKECiphertext)]]

A `KeptStruct` remembers its encoding: those that are signed, hashed and sent again and again. Of a `SharedStruct` there
are few different values and many copies: what is decoded from the same bytes is the same object.

A struct whose layout depends on something outside itself overrides `read(cls, reader)` and `write(self, writer)` with
hand-written ones; it may then still be nested in declared structs.

Decoding takes every byte or raises `MalformedError`, and never anything else. Input is bounded (`INPUT_SIZE_MAX`), each
length is checked against its enclosing structure before anything is allocated, a vector has so many elements at most
(`VECTOR_COUNT_MAX`), and depth is that of the declared types, none of which contains itself.
"""

import dataclasses
import struct as _struct
import typing
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any, Self, TypeVar, cast, dataclass_transform

from mls import wire_compile, wire_source
from mls.errors import MalformedError, MisuseError
from mls.wire_types import Encoded, Fixed, Select, Tagged, VarBytes, VarVector, When, Width

__all__ = [
    "INPUT_SIZE_MAX",
    "Encoded",
    "Enum8",
    "Enum16",
    "Fixed",
    "KeptStruct",
    "Opaque",
    "OpenEnum16",
    "Reader",
    "Select",
    "SharedStruct",
    "Struct",
    "Tagged",
    "Uint8",
    "Uint16",
    "Uint32",
    "Uint64",
    "Vector",
    "When",
    "Writer",
    "encode_vector",
    "struct",
    "varint",
    "without_last_opaque",
]

INPUT_SIZE_MAX = 1 << 28
"""Bytes. No message, tree or snapshot that we would take in comes near it."""

T = TypeVar("T")

Uint8 = Annotated[int, Width(1)]
Uint16 = Annotated[int, Width(2)]
Uint32 = Annotated[int, Width(4)]
Uint64 = Annotated[int, Width(8)]
Opaque = Annotated[bytes, VarBytes()]
Vector = Annotated[tuple[T, ...], VarVector()]


class Enum8(IntEnum):
    """A closed enumeration of one byte: a value without a name is malformed (V007)."""

    @classmethod
    def wire_size(cls) -> int:
        return 1

    @classmethod
    def is_open(cls) -> bool:
        return False

    @classmethod
    def broken_rule(cls) -> str:
        """The rule that a value without a name breaks."""
        return "V007"


class Enum16(IntEnum):
    """A closed enumeration of two bytes."""

    @classmethod
    def wire_size(cls) -> int:
        return 2

    @classmethod
    def is_open(cls) -> bool:
        return False

    @classmethod
    def broken_rule(cls) -> str:
        """The rule that a value without a name breaks."""
        return "V007"


class OpenEnum16(IntEnum):
    """A registry of two-byte code points that others may extend: an unknown value is a value like any other (V016)."""

    @classmethod
    def wire_size(cls) -> int:
        return 2

    @classmethod
    def is_open(cls) -> bool:
        return True

    @classmethod
    def _missing_(cls, value: object) -> "OpenEnum16 | None":
        if not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            return None
        made = int.__new__(cls, value)
        made._name_, made._value_ = f"UNKNOWN_{value:04X}", value
        return made


class Reader:
    """A position in bytes, for hand-written `read` methods. Every method raises MalformedError at the end."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None) -> None:
        if len(data) > INPUT_SIZE_MAX:
            raise MalformedError(f"{len(data)} bytes of input, more than {INPUT_SIZE_MAX} (V004)")
        self.data = bytes(data)
        self.pos = pos
        self.end = len(data) if end is None else end

    @property
    def remaining(self) -> int:
        return self.end - self.pos

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        stop = self.pos + size
        if stop > self.end:
            raise wire_source.overrun()
        taken, self.pos = self.data[self.pos : stop], stop
        return taken

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        value, self.pos = wire_source.read_varint(self.data, self.pos, self.end)
        return value

    def opaque(self) -> bytes:
        return self.take(self.varint())

    def presence(self) -> bool:
        """The octet before an `optional<T>`."""
        octet = self.uint(1)
        if octet > 1:
            raise wire_source.bad_presence(octet)
        return octet == 1

    def vector(self, read: "Callable[[Reader], T]") -> tuple[T, ...]:
        """`T x<V>`: elements until the declared length is used up."""
        size = self.varint()
        if size > self.remaining:
            raise wire_source.overrun()
        inner = Reader.__new__(Reader)
        inner.data, inner.pos, inner.end = self.data, self.pos, self.pos + size
        items: list[T] = []
        while inner.pos < inner.end:
            if len(items) == wire_source.VECTOR_COUNT_MAX:
                raise wire_source.too_many()
            items.append(read(inner))
        self.pos = inner.end
        return tuple(items)

    def finish(self) -> None:
        """Raise unless every byte has been read (V005)."""
        if self.pos != self.end:
            raise MalformedError(f"{self.remaining} bytes left over (V005)")


class Writer(bytearray):
    """Bytes being written, for hand-written `write` methods."""

    def uint(self, value: int, size: int) -> None:
        self.extend(value.to_bytes(size, "big"))

    def varint(self, value: int) -> None:
        wire_source.put_varint(self, value)

    def opaque(self, value: bytes) -> None:
        self.varint(len(value))
        self.extend(value)

    def presence(self, present: bool) -> None:
        self.append(1 if present else 0)


_SHORT_LENGTHS = [bytes((size,)) for size in range(64)]


def varint(value: int) -> bytes:
    """A variable-size length, minimal (RFC 9420 §2.1.2)."""
    if value < 64:
        return _SHORT_LENGTHS[value]
    out = bytearray()
    wire_source.put_varint(out, value)
    return bytes(out)


def without_last_opaque(encoding: bytes, last: bytes) -> bytes:
    """The encoding of a struct up to its last field, an `opaque<V>` such as a signature."""
    return encoding[: -len(varint(len(last))) - len(last)]


class Struct:
    """Base of wire structs; `@struct` fills in `unpack` and `pack`, which nothing but this room calls."""

    __slots__ = ()

    unpack: typing.ClassVar[Callable[[bytes, int, int], tuple[Any, int]]]
    pack: typing.ClassVar[Callable[[Any, bytearray], None]]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The value `data` is the whole encoding of. Raises MalformedError (V005 for bytes left over)."""
        reader = Reader(data)
        value = cls.read(reader)
        reader.finish()
        return value

    @classmethod
    def read(cls, reader: Reader) -> Self:
        value, reader.pos = cls.unpack(reader.data, reader.pos, reader.end)
        return cast(Self, value)

    def encode(self) -> bytes:
        """This value's only encoding. Raises MisuseError where a field does not fit its declared type."""
        return bytes(self._written())

    def _written(self) -> Writer:
        writer = Writer()
        try:
            self.write(writer)
        except (OverflowError, TypeError, AttributeError, _struct.error) as error:
            raise MisuseError(f"a {type(self).__name__} with a field outside its declared type") from error
        return writer

    def write(self, writer: Writer) -> None:  # noqa: ARG002 - what `@struct` puts here takes one
        """Append this value's encoding; the class's own is put in this place by `@struct`."""
        raise MisuseError(f"{type(self).__name__} is not declared with @struct")


class KeptStruct(Struct):
    """A struct that encodes itself once at most, and not at all when it was decoded: its one encoding is known then.

    For what is public; the bytes live as long as the value.
    """

    __slots__ = ("_encoding",)
    _encoding: bytes

    def encode(self) -> bytes:
        if getattr(self, "_encoding", None) is None:
            self._written()  # and keeps it
        return self._encoding


class SharedStruct(Struct):
    """A struct of fields that all have a length, decoded once for each encoding that is met often."""

    __slots__ = ()


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def struct(cls: type[T]) -> type[T]:
    """Make a frozen slotted dataclass of `cls` and compile its codec from the annotations, in their order."""
    made: Any = dataclasses.dataclass(frozen=True, slots=True)(cls)
    reads, writes = "read" in cls.__dict__, "write" in cls.__dict__
    if reads != writes:
        raise TypeError(f"{cls.__name__} overrides one of `read` and `write`")
    if reads:
        made.unpack, made.pack = staticmethod(_unpack_by_hand(made)), staticmethod(_pack_by_hand)
        return cast(type[T], made)
    fields = wire_compile.field_types(made)
    keep = KeptStruct.__dict__["_encoding"].__set__ if issubclass(made, KeptStruct) else None
    unpack = wire_compile.compile_reader(made, fields, keep)
    if issubclass(made, SharedStruct):
        unpack = wire_compile.compile_shared_reader(unpack, fields)
    made.unpack = staticmethod(unpack)
    made.write = wire_compile.compile_writer(fields, keep)
    made.pack = staticmethod(made.write)
    return cast(type[T], made)


def _unpack_by_hand(cls: Any) -> Callable[[bytes, int, int], tuple[Any, int]]:
    def unpack(data: bytes, pos: int, end: int) -> tuple[Any, int]:
        reader = Reader.__new__(Reader)
        reader.data, reader.pos, reader.end = data, pos, end
        value = cls.read(reader)
        return value, reader.pos

    return unpack


def _pack_by_hand(value: Any, out: bytearray) -> None:
    writer = Writer()
    value.write(writer)
    out += writer


def encode_vector(items: "tuple[Struct, ...]") -> bytes:
    """`T items<V>` on its own, length included."""
    out, body = bytearray(), bytearray()
    for item in items:
        type(item).pack(item, body)
    wire_source.put_varint(out, len(body))
    return bytes(out + body)
