"""Wire types: how a field's annotation becomes the lines of code that read and write it.

`mls.codec` is the public face. Here each wire type knows how to emit straight-line Python for itself, so that a
struct's decoder is one function with no dispatch left in it: decoding a tree of a thousand leaves is dominated by
slicing bytes, not by asking what comes next.

Emitted readers share four local names: `data` (the whole input), `pos` (next byte), `end` (first byte that does not
belong to the enclosing structure) and `stop` (where the present field ends). A length is compared with `end` before
anything is sliced or allocated (V004).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from mls.wire_source import VECTOR_COUNT_MAX, Source

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Width:
    """Marker: an unsigned integer of so many bytes, big-endian."""

    size: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """Marker: exactly so many bytes, without a length."""

    size: int


class VarBytes:
    """Marker: `opaque x<V>`."""


class VarVector:
    """Marker: `T x<V>`, its length counted in bytes."""


@dataclass(frozen=True, slots=True)
class Select:
    """Marker: `select (struct.discriminant)`; each case is a wire annotation, or None for an empty case.

    `beyond` is one more case for all of a range that have none of their own. A discriminant without a case has no known
    extent and is malformed (V210).
    """

    discriminant: str
    cases: Mapping[int, Any]
    beyond: tuple[range, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """Marker: a discriminant and the struct it selects, the value alone being kept: its type tells the case."""

    kind: type[IntEnum]
    cases: Mapping[int, type]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Marker: the bytes of a struct of nothing but `opaque<V>`, their layout checked; decoded where it is wanted."""

    kind: type


@dataclass(frozen=True, slots=True)
class When:
    """Marker: a field that is there only for these values of an earlier field, and None otherwise."""

    discriminant: str
    values: tuple[int, ...]

    def __init__(self, discriminant: str, *values: int) -> None:
        object.__setattr__(self, "discriminant", discriminant)
        object.__setattr__(self, "values", values)


# --- emitting ---------------------------------------------------------------------------------------------------------


class WireType(ABC):
    """One way of laying a value out in bytes."""

    @abstractmethod
    def emit_read(self, source: Source, target: str) -> None: ...

    @abstractmethod
    def emit_write(self, source: Source, value: str) -> None: ...


@dataclass(frozen=True, slots=True)
class UintType(WireType):
    size: int

    def emit_read(self, source: Source, target: str) -> None:
        if self.size == 1:
            source.put("if pos >= end: raise overrun()", f"{target} = data[pos]", "pos += 1")
            return
        source.put(f"stop = pos + {self.size}", "if stop > end: raise overrun()")
        if self.size == 2:
            source.put(f"{target} = data[pos] << 8 | data[pos + 1]", "pos = stop")
        else:
            source.put(f"{target} = int.from_bytes(data[pos:stop], 'big')", "pos = stop")

    def emit_write(self, source: Source, value: str) -> None:
        source.put(f"out += {value}.to_bytes({self.size}, 'big')")


@dataclass(frozen=True, slots=True)
class EnumType(WireType):
    kind: type[IntEnum]
    size: int
    is_open: bool

    def emit_read(self, source: Source, target: str) -> None:
        number = source.fresh()
        UintType(self.size).emit_read(source, number)
        known = source.bind(members_of(self.kind))
        source.put(f"{target} = {known}.get({number})")
        with source.block(f"if {target} is None:"):
            if self.is_open:
                source.put(f"{target} = {known}[{number}] = {source.bind(self.kind)}({number})")
            else:
                rule = self.kind.broken_rule()  # type: ignore[attr-defined]
                source.put(f"raise unknown({self.kind.__name__!r}, {number}, {rule!r})")

    def emit_write(self, source: Source, value: str) -> None:
        UintType(self.size).emit_write(source, value)


@cache
def members_of(kind: type[IntEnum]) -> dict[int, IntEnum]:
    """The members of an enumeration by value. An open one's unknown values are made once, then join them."""
    return {int(member): member for member in kind}


@dataclass(frozen=True, slots=True)
class FixedType(WireType):
    size: int

    def emit_read(self, source: Source, target: str) -> None:
        source.put(f"stop = pos + {self.size}", "if stop > end: raise overrun()")
        source.put(f"{target} = data[pos:stop]", "pos = stop")

    def emit_write(self, source: Source, value: str) -> None:
        with source.block(f"if len({value}) != {self.size}:"):
            source.put("raise OverflowError('a fixed-size field of another size')")
        source.put(f"out += {value}")


def emit_length(source: Source) -> None:
    """Read a vector length inline (one byte being the common case) and set `stop`."""
    with source.block("if pos < end and data[pos] < 64:"):
        source.put("stop = pos + 1 + data[pos]", "pos += 1")
    with source.block("else:"):
        source.put("stop, pos = read_varint(data, pos, end)", "stop += pos")
    source.put("if stop > end: raise overrun()")


def _emit_put_length(source: Source, out: str, length: str) -> None:
    """Write a vector length, one byte being the common case here too."""
    size = source.fresh() + "n"
    source.put(f"{size} = {length}")
    with source.block(f"if {size} < 64:"):
        source.put(f"{out}.append({size})")
    with source.block("else:"):
        source.put(f"put_varint({out}, {size})")


class OpaqueType(WireType):
    def emit_read(self, source: Source, target: str) -> None:
        emit_length(source)
        source.put(f"{target} = data[pos:stop]", "pos = stop")

    def emit_write(self, source: Source, value: str) -> None:
        _emit_put_length(source, "out", f"len({value})")
        source.put(f"out += {value}")


@dataclass(frozen=True, slots=True)
class VectorType(WireType):
    element: WireType

    def emit_read(self, source: Source, target: str) -> None:
        emit_length(source)
        if isinstance(self.element, UintType):
            size, letter = self.element.size, _FORMATS[self.element.size]
            if size > 1:
                source.put(f"if (stop - pos) % {size}: raise partial()")
            read = f"to_numbers(f'>{{(stop - pos) // {size}}}{letter}', data[pos:stop])"
            source.put(f"{target} = {read} if pos < stop else ()", "pos = stop")
            return
        saved, items, item = source.fresh() + "e", source.fresh() + "v", source.fresh() + "i"
        source.put(f"{saved} = end", "end = stop", f"{items} = []")
        with source.block(f"for _ in {source.bind(range(VECTOR_COUNT_MAX))}:"):
            source.put("if pos >= end: break")
            self.element.emit_read(source, item)
            source.put(f"{items}.append({item})")
        with source.block("else:"):
            source.put("if pos < end: raise too_many()")
        source.put(f"end = {saved}", f"{target} = tuple({items})")

    def emit_write(self, source: Source, value: str) -> None:
        if isinstance(self.element, UintType):
            size, letter = self.element.size, _FORMATS[self.element.size]
            _emit_put_length(source, "out", f"len({value}) * {size}")
            source.put(f"out += from_numbers(f'>{{len({value})}}{letter}', *{value})")
            return
        saved, item = source.fresh() + "o", source.fresh() + "i"
        source.put(f"{saved} = out", "out = bytearray()")
        with source.block(f"for {item} in {value}:"):
            self.element.emit_write(source, item)
        _emit_put_length(source, saved, "len(out)")
        source.put(f"{saved} += out", f"out = {saved}")


@dataclass(frozen=True, slots=True)
class OptionalType(WireType):
    element: WireType

    def emit_read(self, source: Source, target: str) -> None:
        octet = source.fresh()
        UintType(1).emit_read(source, octet)
        with source.block(f"if {octet} == 1:"):
            self.element.emit_read(source, target)
        with source.block(f"elif {octet} == 0:"):
            source.put(f"{target} = None")
        with source.block("else:"):
            source.put(f"raise bad_presence({octet})")

    def emit_write(self, source: Source, value: str) -> None:
        with source.block(f"if {value} is None:"):
            source.put("out.append(0)")
        with source.block("else:"):
            source.put("out.append(1)")
            self.element.emit_write(source, value)


def emit_skip(source: Source, count: int) -> str:
    """Go past so many fields with a length; gives the expression for the bytes of them all."""
    begin = source.fresh() + "b"
    source.put(f"{begin} = pos")
    for _ in range(count):
        emit_length(source)
        source.put("pos = stop")
    return f"data[{begin}:pos]"


@dataclass(frozen=True, slots=True)
class EncodedType(WireType):
    field_count: int

    def emit_read(self, source: Source, target: str) -> None:
        source.put(f"{target} = {emit_skip(source, self.field_count)}")

    def emit_write(self, source: Source, value: str) -> None:
        source.put(f"out += {value}")


@dataclass(frozen=True, slots=True)
class NestedType(WireType):
    kind: Any  # a class with `unpack` and `pack`

    def emit_read(self, source: Source, target: str) -> None:
        source.put(f"{target}, pos = {source.bind(self.kind.unpack)}(data, pos, end)")

    def emit_write(self, source: Source, value: str) -> None:
        source.put(f"{source.bind(self.kind.pack)}({value}, out)")


@dataclass(frozen=True, slots=True)
class SelectType(WireType):
    """Cases chosen by an earlier field, which emitted readers and writers find as a local `f_<name>`."""

    discriminant: str
    cases: tuple[tuple[int, WireType | None], ...]
    fallback_none: bool  # `When`: any other value means that the field is absent
    beyond: tuple[range, WireType] | None = None

    def emit_read(self, source: Source, target: str) -> None:
        for head, case in self._branches():
            with source.block(head):
                if case is None:
                    source.put(f"{target} = None")
                else:
                    case.emit_read(source, target)
        with source.block("else:"):
            if self.fallback_none:
                source.put(f"{target} = None")
            else:
                source.put(f"raise no_case({self.discriminant!r}, f_{self.discriminant})")

    def emit_write(self, source: Source, value: str) -> None:
        for head, case in self._branches():
            with source.block(head):
                if case is None:
                    source.put(f"if {value} is not None: raise TypeError('an empty case holds None')")
                else:
                    case.emit_write(source, value)
        with source.block("else:"):
            if self.fallback_none:
                source.put(f"if {value} is not None: raise TypeError('{self.discriminant} leaves this field out')")
            else:
                source.put(f"raise TypeError('no case of {self.discriminant} for this value')")

    def _branches(self) -> list[tuple[str, WireType | None]]:
        """The heads of an if-statement, and what they lead to."""
        found = f"f_{self.discriminant}"
        tests: list[tuple[str, WireType | None]] = [(f"{found} == {value}", case) for value, case in self.cases]
        if self.beyond is not None:
            values, case = self.beyond
            tests.append((f"{values.start} <= {found} < {values.stop}", case))
        return [(f"{'elif' if index else 'if'} {test}:", case) for index, (test, case) in enumerate(tests)]


@dataclass(frozen=True, slots=True)
class TaggedType(WireType):
    tag: EnumType
    cases: tuple[tuple[int, NestedType], ...]

    def emit_read(self, source: Source, target: str) -> None:
        tag = source.fresh() + "g"
        self.tag.emit_read(source, tag)
        for number, case in self.cases:
            with source.block(f"if {tag} == {number}:"):
                case.emit_read(source, target)

    def emit_write(self, source: Source, value: str) -> None:
        for index, (number, case) in enumerate(self.cases):
            with source.block(f"{'elif' if index else 'if'} type({value}) is {source.bind(case.kind)}:"):
                self.tag.emit_write(source, f"({number})")
                case.emit_write(source, value)
        with source.block("else:"):
            source.put("raise TypeError('a value of none of the types that are told apart here')")
