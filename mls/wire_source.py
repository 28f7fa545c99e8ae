"""Emitted code: lines of a reader or writer as they are put together, and the helpers that they call.

Only `mls.wire_types` emits, and only from declarations in our own source; no input ever becomes code.
"""

import struct as _struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mls.errors import MalformedError, MisuseError

VECTOR_COUNT_MAX = 1 << 21
"""Elements. The nodes of a tree with a million members; no other vector comes near it."""


@dataclass(slots=True)
class Source:
    """Lines being written, and the objects they refer to by name."""

    names: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    depth: int = 1

    def __post_init__(self) -> None:
        helpers = (overrun, too_many, partial, unknown, no_case, bad_presence, read_varint, put_varint)
        self.names.update({helper.__name__: helper for helper in helpers})
        self.names.update(from_numbers=_struct.pack, to_numbers=_struct.unpack)

    def put(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    def bind(self, value: object) -> str:
        """A name under which the emitted code finds `value`."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def fresh(self) -> str:
        return f"t{len(self.lines)}_{self.depth}"

    def block(self, head: str) -> "_Block":
        self.put(head)
        return _Block(self)

    def function(self, signature: str) -> Callable[..., Any]:
        name = signature.partition("(")[0]
        code = "\n".join([f"def {signature}:", *self.lines])
        exec(compile(code, f"<struct codec {name}>", "exec"), self.names)  # noqa: S102 (our own text, built above)
        made: Callable[..., Any] = self.names[name]
        return made


@dataclass(slots=True)
class _Block:
    source: Source

    def __enter__(self) -> None:
        self.source.depth += 1

    def __exit__(self, *_: object) -> None:
        self.source.depth -= 1


# --- what readers and writers call, emitted or written by hand --------------------------------------------------------


def overrun() -> MalformedError:
    return MalformedError("a field runs past the end of its enclosing structure (V004)")


def too_many() -> MalformedError:
    return MalformedError(f"a vector of more than {VECTOR_COUNT_MAX} elements (V004)")


def partial() -> MalformedError:
    return MalformedError("a vector of fixed-size elements ends within an element (V005)")


def unknown(name: str, value: int, rule: str) -> MalformedError:
    return MalformedError(f"{value} is no known {name} ({rule})")


def no_case(discriminant: str, value: int) -> MalformedError:
    return MalformedError(f"nobody knows the extent of {discriminant} {value} (V210)")


def bad_presence(octet: int) -> MalformedError:
    return MalformedError(f"presence octet {octet} is neither 0 nor 1 (V001)")


def read_varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """A variable-size length (RFC 9420 §2.1.2) and the position after it."""
    if pos >= end:
        raise overrun()
    first = data[pos]
    if first < 0x40:
        return first, pos + 1
    if first >= 0xC0:
        raise MalformedError("a vector length has the reserved prefix 11 (V002)")
    size = 2 if first < 0x80 else 4
    if pos + size > end:
        raise overrun()
    value = int.from_bytes(data[pos : pos + size], "big") & (0x3FFF if size == 2 else 0x3FFFFFFF)
    if value < (0x40 if size == 2 else 0x4000):
        raise MalformedError("a vector length is not in its shortest form (V003)")
    return value, pos + size


def put_varint(out: bytearray, value: int) -> None:
    if value < 0x40:
        out.append(value)
    elif value < 0x4000:
        out += (value | 0x4000).to_bytes(2, "big")
    elif value < 0x40000000:
        out += (value | 0x80000000).to_bytes(4, "big")
    else:
        raise MisuseError("a vector longer than 2^30 - 1 bytes has no encoding")
