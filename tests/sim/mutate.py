"""Messages bent in one place: a byte of their encoding, or a field of theirs, however deep."""

from __future__ import annotations

from enum import IntEnum
from random import Random
from typing import Any

import msgspec

from ordering import MalformedError, Message, Wire, decode_message, encode_message


def mutate(chance: Random, message: Message) -> Message | None:
    """Another message that somebody could send; None where it cannot be read, or says the same."""
    bend = bend_bytes if chance.random() < 0.5 else bend_field
    try:
        bent = bend(chance, message)
    except (MalformedError, ValueError, TypeError):  # the latter two: the class itself allows no such value
        return None
    return None if bent == message else bent


def bend_bytes(chance: Random, message: Message) -> Message:
    """Flip a bit of its encoding, overwrite, insert, leave out, cut off, or repeat. Raises `MalformedError`."""
    data = bytearray(encode_message(message))
    place = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:
            data[place] ^= 1 << chance.randrange(8)
        case 1:
            data[place] = chance.randrange(256)
        case 2:
            data.insert(place, chance.randrange(256))
        case 3:
            del data[place]
        case 4:
            del data[place:]
        case _:
            data[place:place] = data[place : place + chance.randint(1, 40)]
    return decode_message(bytes(data))


def bend_field(chance: Random, message: Message) -> Message:
    """Change one field, of the message or of something in it. Raises `MalformedError`, or what the class does."""
    return decode_message(encode_message(_bend(chance, message)))


def _bend(chance: Random, value: Any) -> Any:
    match value:
        case Wire():
            names = value.__struct_fields__
            name = chance.choice(names)
            return msgspec.structs.replace(value, **{name: _bend(chance, getattr(value, name))})
        case IntEnum():
            return chance.choice(list(type(value)))
        case int():
            return max(0, chance.choice((value - 1, value + 1, 0, value ^ 1, 2**32 - 1, 2**62)))
        case bytes():
            return _bend_string(chance, value)
        case tuple() if value:
            return _bend_row(chance, value)
        case _:
            return value


def _bend_string(chance: Random, value: bytes) -> bytes:
    if not value or chance.random() < 0.2:
        return chance.choice((b"", bytes(32), bytes(64), chance.randbytes(len(value))))
    place = chance.randrange(len(value))
    return value[:place] + bytes((value[place] ^ 1 << chance.randrange(8),)) + value[place + 1 :]


def _bend_row(chance: Random, row: tuple[Any, ...]) -> tuple[Any, ...]:
    place = chance.randrange(len(row))
    match chance.randrange(5):
        case 0:
            return row[:place] + row[place + 1 :]
        case 1:
            return (*row, row[place])
        case 2:
            return row[::-1]
        case _:
            return (*row[:place], _bend(chance, row[place]), *row[place + 1 :])
