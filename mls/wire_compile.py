"""From a struct's annotations to its reader and writer: `wire_type` says what each field is, the rest lines them up.

`mls.codec` is the public face, and `mls.wire_types` has what a field can be.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any

from mls.wire_source import Source
from mls.wire_types import (
    Encoded,
    EncodedType,
    EnumType,
    Fixed,
    FixedType,
    NestedType,
    OpaqueType,
    OptionalType,
    Select,
    SelectType,
    Tagged,
    TaggedType,
    UintType,
    VarBytes,
    VarVector,
    VectorType,
    When,
    Width,
    WireType,
    emit_skip,
)


def field_types(kind: Any) -> dict[str, WireType]:
    """Those of a dataclass, in wire order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {each.name: wire_type(hints[each.name]) for each in dataclasses.fields(kind)}


def wire_type(annotation: Any) -> WireType:
    """The wire type an annotation stands for."""
    if hasattr(annotation, "__metadata__"):  # Annotated[base, marker]
        base, marker = annotation.__origin__, annotation.__metadata__[-1]
        match marker:
            case Width(size):
                return UintType(size)
            case Fixed(size):
                return FixedType(size)
            case VarBytes():
                return OpaqueType()
            case VarVector():
                return VectorType(wire_type(typing.get_args(base)[0]))
            case Select(discriminant, cases, beyond):
                kinds = tuple((int(k), None if v is None else wire_type(v)) for k, v in cases.items())
                rest = None if beyond is None else (beyond[0], wire_type(beyond[1]))
                return SelectType(discriminant, kinds, fallback_none=False, beyond=rest)
            case Tagged(tags, structs):
                if set(structs) != set(tags):
                    raise TypeError(f"{tags.__name__} has values without a case, or cases without a value")
                tag = EnumType(tags, tags.wire_size(), is_open=False)  # type: ignore[attr-defined]
                return TaggedType(tag, tuple((int(k), NestedType(v)) for k, v in structs.items()))
            case Encoded(struct):
                fields = field_types(struct).values()
                if not all(isinstance(each, OpaqueType) for each in fields):
                    raise TypeError(f"{struct.__name__} has other fields than opaque<V>")
                return EncodedType(len(fields))
            case When(discriminant, values):
                kind = wire_type(_without_none(base))
                return SelectType(discriminant, tuple((int(value), kind) for value in values), fallback_none=True)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return OptionalType(wire_type(_without_none(annotation)))
    if isinstance(annotation, type):
        if issubclass(annotation, IntEnum):
            return EnumType(annotation, annotation.wire_size(), annotation.is_open())  # type: ignore[attr-defined]
        if hasattr(annotation, "unpack"):
            return NestedType(annotation)
    raise TypeError(f"{annotation!r} says nothing about its layout in bytes")


def _without_none(annotation: Any) -> Any:
    inner = [each for each in typing.get_args(annotation) if each is not type(None)]
    if len(inner) != 1:
        raise TypeError(f"{annotation!r} is not of the form `T | None`")
    return inner[0]


Keep = Callable[[Any, bytes], None]
"""The setter of the slot in which a value remembers its encoding."""


def compile_reader(
    kind: type, fields: dict[str, WireType], keep: Keep | None = None
) -> Callable[[bytes, int, int], tuple[Any, int]]:
    """`unpack(data, pos, end) -> (value, pos)` for a frozen slotted dataclass with these fields in wire order."""
    source = Source()
    if keep is not None:
        source.put("begin = pos")
    new, owner = source.bind(object.__new__), source.bind(kind)
    for name, each in fields.items():
        each.emit_read(source, f"f_{name}")
    source.put(f"made = {new}({owner})")
    for name in fields:  # the slot's own setter: what the frozen class's __init__ does, without the detour
        source.put(f"{source.bind(kind.__dict__[name].__set__)}(made, f_{name})")
    if keep is not None:
        source.put(f"{source.bind(keep)}(made, data[begin:pos])")
    source.put("return made, pos")
    return source.function("unpack(data, pos, end)")


SHARED_COUNT, SHARED_SIZE_MAX = 1024, 128
"""Values of one kind that are remembered, and the bytes that one of them may have."""


def compile_shared_reader(
    unpack: Callable[[bytes, int, int], tuple[Any, int]], fields: Mapping[str, WireType]
) -> Callable[[bytes, int, int], tuple[Any, int]]:
    """As `unpack`, for a struct of nothing but fields with a length: one value for all encodings that are the same."""
    if not all(isinstance(each, OpaqueType | VectorType) for each in fields.values()):
        raise TypeError("where this struct ends is not told by lengths alone")

    @lru_cache(maxsize=SHARED_COUNT)
    def shared(encoding: bytes) -> Any:
        return unpack(encoding, 0, len(encoding))[0]

    source = Source()
    source.put(f"encoding = {emit_skip(source, len(fields))}")
    with source.block(f"if len(encoding) > {SHARED_SIZE_MAX}:"):
        source.put(f"return {source.bind(unpack)}(data, pos - len(encoding), end)")
    source.put(f"return {source.bind(shared)}(encoding), pos")
    return source.function("unpack_shared(data, pos, end)")


def compile_writer(fields: dict[str, WireType], keep: Keep | None = None) -> Callable[[Any, bytearray], None]:
    """`pack(value, out)`, appending the encoding of `value` to `out`."""
    source = Source()
    if keep is not None:
        source.put("kept = getattr(value, '_encoding', None)")
        with source.block("if kept is not None:"):
            source.put("out += kept", "return None")
        source.put("begin = len(out)")
    for name, each in fields.items():
        source.put(f"f_{name} = value.{name}")
        each.emit_write(source, f"f_{name}")
    if keep is not None:
        # By itself, as what holds a whole tree is encoded, it is not copied twice.
        source.put(f"{source.bind(keep)}(value, bytes(out[begin:] if begin else out))")
    source.put("return None")
    return source.function("pack(value, out)")
