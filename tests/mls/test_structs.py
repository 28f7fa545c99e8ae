"""Every wire struct of the engine: one encoding for each value, one value or none for any bytes."""

import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mls.codec import Struct
from mls.errors import MalformedError
from tests.mls.strategies import BY_HAND, all_structs, annotations, is_by_hand, parts, values

STRUCTS = all_structs()
QUICKLY = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
by_name = pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


@by_name
@QUICKLY
@given(data=st.data())
def test_what_is_encoded_is_decoded_and_nothing_else(kind: type[Struct], data: st.DataObject) -> None:
    """A byte more is malformed; a byte changed is malformed or another value, which has these bytes as its encoding."""
    value = data.draw(values(kind))
    encoded = value.encode()
    assert kind.decode(encoded) == value
    with pytest.raises(MalformedError, match="V005"):
        kind.decode(encoded + b"\x00")
    broken = bytearray(encoded)
    if broken:
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
        check_canonical(kind, bytes(broken))
    check_canonical(kind, encoded[: data.draw(st.integers(0, len(encoded)))])


def check_canonical(kind: type[Struct], data: bytes) -> None:
    try:
        value = kind.decode(data)
    except MalformedError:
        return
    assert value.encode() == data


def test_every_hand_written_layout_is_among_them() -> None:
    assert {kind for kind in STRUCTS if is_by_hand(kind)} == set(BY_HAND)
    assert len(STRUCTS) > 40


def test_no_struct_contains_itself() -> None:
    """V004: so that decoding is as deep as the declarations are, whatever the bytes say."""
    inside = {kind: set(_structs_in(list(annotations(kind).values()))) for kind in STRUCTS}

    def depth(kind: type[Struct], above: tuple[type[Struct], ...]) -> int:
        assert kind not in above, f"{kind.__name__} is inside itself"
        return 1 + max((depth(each, (*above, kind)) for each in inside.get(kind, ())), default=0)

    assert max(depth(kind, ()) for kind in STRUCTS) <= 12


def _structs_in(waiting: list[Any]) -> typing.Iterator[type[Struct]]:
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, Struct):
            yield annotation
        waiting += parts(annotation)
