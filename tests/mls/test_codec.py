"""The codec: published length headers, every malformed shape, and round trips."""

from dataclasses import field, replace
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls import wire_source, wire_types
from mls.codec import (
    INPUT_SIZE_MAX,
    Encoded,
    Enum8,
    Fixed,
    KeptStruct,
    Opaque,
    OpenEnum16,
    Reader,
    Select,
    SharedStruct,
    Struct,
    Tagged,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Vector,
    When,
    Writer,
    encode_vector,
    struct,
    varint,
)
from mls.errors import MalformedError, MisuseError
from mls.wire_compile import SHARED_SIZE_MAX
from tests.vectors import EVERY_SOURCE, Source


class Colour(Enum8):
    RED = 1
    BLUE = 2
    NONE = 3


class Flavour(OpenEnum16):
    SWEET = 1


@struct
class Pair(Struct):
    flavour: Flavour
    data: Opaque


@struct
class Everything(Struct):
    """One of each."""

    small: Uint8
    middle: Uint16
    large: Uint32
    huge: Uint64
    colour: Colour
    tag: Annotated[bytes, Fixed(4)]
    number: Annotated[Uint32 | None, When("colour", Colour.RED, Colour.BLUE)]
    body: Annotated[bytes | Pair | None, Select("colour", {Colour.RED: Opaque, Colour.BLUE: Pair, Colour.NONE: None})]
    numbers: Vector[Uint16]
    pairs: Vector[Pair | None]
    names: Vector[Opaque]
    maybe: Pair | None
    hidden: Opaque = field(default=b"", repr=False)


@struct
class ByHand(Struct):
    """A layout that depends on a bit of its own."""

    flag: bool
    data: bytes

    @classmethod
    def read(cls, reader: Reader) -> "ByHand":
        flag = reader.presence()
        return cls(flag, reader.opaque() if flag else b"")

    def write(self, writer: Writer) -> None:
        writer.presence(self.flag)
        if self.flag:
            writer.opaque(self.data)


@struct
class HandHolder(Struct):
    before: Uint8
    inner: ByHand
    rest: Vector[ByHand]


pairs = st.builds(Pair, st.integers(0, 0xFFFF).map(Flavour), st.binary(max_size=70))


@st.composite
def everythings(draw: st.DrawFn) -> Everything:
    colour = draw(st.sampled_from(Colour))
    bodies: dict[Colour, st.SearchStrategy[bytes | Pair | None]] = {
        Colour.RED: st.binary(max_size=80),
        Colour.BLUE: pairs,
        Colour.NONE: st.none(),
    }
    return Everything(
        draw(st.integers(0, 0xFF)),
        draw(st.integers(0, 0xFFFF)),
        draw(st.integers(0, 0xFFFFFFFF)),
        draw(st.integers(0, 0xFFFFFFFFFFFFFFFF)),
        colour,
        draw(st.binary(min_size=4, max_size=4)),
        None if colour is Colour.NONE else draw(st.integers(0, 9)),
        draw(bodies[colour]),
        tuple(draw(st.lists(st.integers(0, 0xFFFF), max_size=40))),
        tuple(draw(st.lists(pairs | st.none(), max_size=3))),
        tuple(draw(st.lists(st.binary(max_size=5), max_size=3))),
        draw(pairs | st.none()),
        draw(st.binary(max_size=5)),
    )


SAMPLE = Everything(
    1, 2, 3, 4, Colour.RED, b"abcd", 7, b"x" * 64, (5, 6), (Pair(Flavour.SWEET, b"p"), None), (b"a", b""), None, b"h"
)


@EVERY_SOURCE
def test_length_headers_match_the_published_vectors(source: Source) -> None:
    for case in source.cases("deserialization"):
        header = bytes.fromhex(case["vlbytes_header"])
        assert Reader(header).varint() == case["length"]
        assert varint(case["length"]) == header
        source.ran("deserialization")


@pytest.mark.parametrize("length", [0, 63, 64, 16383, 16384, (1 << 30) - 1])
def test_a_length_has_one_encoding(length: int) -> None:
    """V003: at both ends of each size (63/64, 16383/16384)."""
    encoded = varint(length)

    assert len(encoded) == (1 if length < 64 else 2 if length < 16384 else 4)
    assert Reader(encoded).varint() == length


def test_a_longer_length_has_no_encoding() -> None:
    with pytest.raises(MisuseError):
        varint(1 << 30)


@pytest.mark.parametrize(
    ("encoded", "rule"),
    [
        ("c0", "V002"),
        ("ff00000000000000", "V002"),
        ("4000", "V003"),
        ("403f", "V003"),
        ("80000000", "V003"),
        ("80003fff", "V003"),
        ("40", "V004"),
        ("800040", "V004"),
        ("", "V004"),
        ("02aa", "V004"),
        ("bfffffff", "V004"),
    ],
)
def test_a_bad_length_is_malformed(encoded: str, rule: str) -> None:
    """V002, V003, V004, by the hand-written reader and by a compiled one."""
    with pytest.raises(MalformedError, match=rule):
        Reader(bytes.fromhex(encoded)).opaque()
    with pytest.raises(MalformedError, match=rule):
        Pair.decode(b"\x00\x01" + bytes.fromhex(encoded))


@given(everythings())
def test_what_is_encoded_is_decoded(value: Everything) -> None:
    assert Everything.decode(value.encode()) == value


@given(st.binary(max_size=120))
def test_any_bytes_are_the_encoding_of_one_value_or_malformed(data: bytes) -> None:
    """Never another exception; and what decodes encodes to the same bytes, so signatures mean one thing."""
    for kind in (Everything, HandHolder, Pair):
        try:
            value = kind.decode(data)
        except MalformedError:
            continue
        assert value.encode() == data


@given(everythings(), st.data())
def test_a_flipped_byte_is_malformed_or_another_value(value: Everything, data: st.DataObject) -> None:
    encoded = bytearray(value.encode())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        again = Everything.decode(bytes(encoded))
    except MalformedError:
        return
    assert again != value
    assert again.encode() == encoded


def test_every_cut_and_every_addition_is_malformed() -> None:
    """V004, V005."""
    encoded = SAMPLE.encode()

    for size in range(len(encoded)):
        with pytest.raises(MalformedError):
            Everything.decode(encoded[:size])
    with pytest.raises(MalformedError, match="V005"):
        Everything.decode(encoded + b"\0")


def test_presence_is_zero_or_one() -> None:
    """V001."""

    @struct
    class Maybe(Struct):
        value: Uint8 | None

    assert Maybe.decode(b"\x00").value is None
    assert Maybe.decode(b"\x01\x02").value == 2
    for wrong in (b"\x02\x02", b"\xff\x02"):
        with pytest.raises(MalformedError, match="V001"):
            Maybe.decode(wrong)
    with pytest.raises(MalformedError, match="V001"):
        Reader(b"\x02").presence()


def test_a_vector_of_numbers_ends_between_them() -> None:
    """V005."""

    @struct
    class Numbers(Struct):
        values: Vector[Uint16]

    assert Numbers.decode(b"\x04\x00\x01\x00\x02").values == (1, 2)
    with pytest.raises(MalformedError, match="V005"):
        Numbers.decode(b"\x03\x00\x01\x00")


def test_an_element_does_not_reach_past_its_vector() -> None:
    """V004: the bound is the enclosing vector's end, not the input's."""

    @struct
    class Inside(Struct):
        names: Vector[Opaque]
        after: Opaque

    with pytest.raises(MalformedError, match="V004"):
        Inside.decode(b"\x02\x05aaaaa\x00")


def test_closed_enumerations_refuse_unknown_values() -> None:
    """V007: reserved zero included."""

    @struct
    class Closed(Struct):
        colour: Colour

    for wrong in (b"\x00", b"\x04", b"\xff"):
        with pytest.raises(MalformedError, match="V007"):
            Closed.decode(wrong)


def test_open_enumerations_keep_unknown_values() -> None:
    """V016, V019."""
    pair = Pair.decode(b"\x0a\x0a\x00")

    assert pair.flavour == 0x0A0A
    assert pair.encode() == b"\x0a\x0a\x00"
    assert Flavour(1) is Flavour.SWEET
    with pytest.raises(ValueError):
        Flavour(0x10000)


def test_a_select_without_a_case_has_no_known_extent() -> None:
    """V210."""

    @struct
    class Chosen(Struct):
        flavour: Flavour
        body: Annotated[bytes, Select("flavour", {Flavour.SWEET: Opaque})]

    assert Chosen.decode(b"\x00\x01\x01a").body == b"a"
    with pytest.raises(MalformedError, match="V210"):
        Chosen.decode(b"\x00\x02\x01a")
    with pytest.raises(MisuseError):
        Chosen(Flavour(2), b"a").encode()


def test_a_select_may_have_a_case_for_a_range() -> None:
    """Both its ends, and what has a case of its own within; V210 outside."""

    @struct
    class Chosen(Struct):
        flavour: Flavour
        body: Annotated[bytes | Pair, Select("flavour", {1: Opaque, 9: Pair}, beyond=(range(8, 16), Opaque))]

    for flavour in (1, 8, 15):
        encoded = bytes((0, flavour)) + b"\x01a"
        assert Chosen.decode(encoded) == Chosen(Flavour(flavour), b"a")
        assert Chosen.decode(encoded).encode() == encoded
    assert Chosen.decode(b"\x00\x09\x00\x01\x00").body == Pair(Flavour.SWEET, b"")
    for flavour in (7, 16):
        with pytest.raises(MalformedError, match="V210"):
            Chosen.decode(bytes((0, flavour)) + b"\x01a")
        with pytest.raises(MisuseError):
            Chosen(Flavour(flavour), b"a").encode()


@pytest.mark.parametrize(
    "wrong",
    [
        Pair(Flavour(1), None),  # type: ignore[arg-type]
        Pair(1 << 16, b""),  # type: ignore[arg-type]
        ByHand(True, None),  # type: ignore[arg-type]
        Everything(256, 2, 3, 4, Colour.NONE, b"abcd", None, None, (), (), (), None),
        Everything(1, 2, 3, 4, Colour.NONE, b"abc", None, None, (), (), (), None),
        Everything(1, 2, 3, 4, Colour.NONE, b"abcd", 7, None, (), (), (), None),
        Everything(1, 2, 3, 4, Colour.NONE, b"abcd", None, b"body", (), (), (), None),
        Everything(1, 2, 3, 4, Colour.RED, b"abcd", None, b"body", (), (), (), None),
        Everything(1, 2, 3, 4, Colour.NONE, b"abcd", None, None, (1 << 16,), (), (), None),
    ],
)
def test_a_value_outside_its_type_is_our_own_mistake(wrong: Struct) -> None:
    with pytest.raises(MisuseError):
        wrong.encode()


def test_structs_written_by_hand_nest_in_declared_ones() -> None:
    value = HandHolder(1, ByHand(True, b"ab"), (ByHand(False, b""), ByHand(True, b"c")))

    assert value.encode() == b"\x01" + b"\x01\x02ab" + b"\x04" + b"\x00" + b"\x01\x01c"
    assert HandHolder.decode(value.encode()) == value


def test_a_struct_overrides_both_or_neither() -> None:
    with pytest.raises(TypeError, match="overrides one"):

        @struct
        class Half(Struct):
            data: Opaque

            def write(self, writer: Writer) -> None:
                writer.opaque(self.data)


def test_a_class_that_was_not_declared_is_named_when_it_is_written() -> None:
    class Undeclared(Struct):
        pass

    with pytest.raises(MisuseError, match="Undeclared is not declared with @struct"):
        Undeclared().encode()


def test_a_field_without_a_layout_is_named_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="int"):

        @struct
        class Bare(Struct):
            number: int


def test_input_is_bounded() -> None:
    """V004: nothing is decoded of what is too large to be anything."""

    class Huge(bytes):
        def __len__(self) -> int:
            return INPUT_SIZE_MAX + 1

    with pytest.raises(MalformedError, match="V004"):
        Pair.decode(Huge())


def test_the_elements_of_a_vector_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """V004: before the list of them outgrows everything else. The real bound is a tree of a million members."""
    assert wire_source.VECTOR_COUNT_MAX >= 2 * (1 << 20)
    for module in (wire_source, wire_types):
        monkeypatch.setattr(module, "VECTOR_COUNT_MAX", 100)

    @struct
    class Presence(Struct):
        values: Vector[Uint8 | None]

    assert len(Presence.decode(varint(100) + bytes(100)).values) == 100
    with pytest.raises(MalformedError, match="V004"):
        Presence.decode(varint(101) + bytes(101))
    with pytest.raises(MalformedError, match="V004"):
        Reader(varint(101) + bytes(101)).vector(lambda reader: reader.uint(1))


def test_an_unknown_value_is_made_once() -> None:
    """Making one is slow; a message full of them would keep a member busy for seconds."""
    first, second = (Pair.decode(b"\xbe\xef\x00").flavour for _ in range(2))
    assert first is second
    assert (first, isinstance(first, Flavour)) == (0xBEEF, True)


def test_a_vector_stands_alone_too() -> None:
    assert encode_vector((Pair(Flavour.SWEET, b"a"),)) == b"\x04\x00\x01\x01a"
    assert Reader(b"\x04\x00\x01\x01a").vector(Pair.read) == (Pair(Flavour.SWEET, b"a"),)
    with pytest.raises(MalformedError, match="V004"):
        Reader(b"\x05\x00\x01\x01a").vector(Pair.read)


def test_hidden_fields_are_not_printed() -> None:
    """V216."""
    assert "hidden" not in repr(SAMPLE)


@struct
class Kept(KeptStruct):
    name: Opaque
    pairs: Vector[Pair]


@struct
class Holder(Struct):
    before: Uint8
    kept: Kept
    after: Opaque


@given(st.binary(max_size=100), st.lists(st.binary(max_size=3), max_size=5), st.binary(max_size=3))
def test_a_struct_that_remembers_its_encoding_has_the_one_it_would_make(
    name: bytes, data: list[bytes], after: bytes
) -> None:
    """Made, made again, read, and read and made anew: one value, one encoding."""
    kept = Kept(name, tuple(Pair(Flavour.SWEET, each) for each in data))
    first = Holder(1, kept, after).encode()
    assert Holder(1, kept, after).encode() == first
    read = Holder.decode(first)
    assert read == Holder(1, kept, after)
    assert read.kept.encode() == kept.encode() == replace(read.kept).encode()
    assert hash(read.kept) == hash(kept)


@struct
class Likes(SharedStruct):
    flavours: Vector[Flavour]
    notes: Opaque


@struct
class Guest(Struct):
    likes: Likes
    name: Opaque


def test_copies_of_a_shared_struct_are_one_object() -> None:
    """Unless it is long: what peers send must not fill our memory for good."""
    short, long = Likes((Flavour.SWEET,), b""), Likes((), bytes(SHARED_SIZE_MAX))
    for likes in (short, long):
        first, second = (Guest.decode(Guest(likes, name).encode()) for name in (b"a", b"b"))
        assert first.likes == second.likes == likes
        assert (first.likes is second.likes) == (likes is short)


def test_only_so_many_values_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of short ones too there may be any number."""
    monkeypatch.setattr("mls.wire_compile.SHARED_COUNT", 2)

    @struct
    class Mood(SharedStruct):
        word: Opaque

    first, *others = (Mood.decode(each) for each in (b"\x01a", b"\x01b", b"\x01c"))
    assert [Mood.decode(each.encode()) is each for each in others] == [True, True]
    assert Mood.decode(b"\x01a") == first
    assert Mood.decode(b"\x01a") is not first


@pytest.mark.parametrize("wrong", ["02000102", "0200", "010000", "020001", "0200014100", "02000142", "4002000100"])
def test_a_shared_struct_is_as_strict_as_any(wrong: str) -> None:
    for _ in range(2):
        with pytest.raises(MalformedError):
            Likes.decode(bytes.fromhex(wrong))
    with pytest.raises(MalformedError, match="V004"):  # of its enclosing structure it takes no byte
        Reader(bytes.fromhex("04020001020000")).vector(Likes.read)


def test_only_what_ends_by_its_lengths_is_shared() -> None:
    with pytest.raises(TypeError, match="lengths alone"):

        @struct
        class Wrong(SharedStruct):
            flavour: Flavour


@struct
class Likings(Struct):
    all: Vector[Annotated[Pair | Likes | Guest, Tagged(Colour, {1: Pair, 2: Likes, 3: Guest})] | None]


def test_a_tagged_value_is_written_after_its_tag() -> None:
    pair, likes = Pair(Flavour.SWEET, b"x"), Likes((), b"")
    encoded = bytes.fromhex("0b0101000101780001020000")
    assert Likings((pair, None, likes)).encode() == encoded
    assert Likings.decode(encoded) == Likings((pair, None, likes))
    for wrong in ("0301040000", "0401040000", "0101", "03010200", "06020100010178"):
        with pytest.raises(MalformedError):
            Likings.decode(bytes.fromhex(wrong))
    with pytest.raises(MisuseError):
        Likings((SAMPLE,)).encode()  # type: ignore[arg-type]


@struct
class Notes(Struct):
    first: Opaque
    second: Opaque


@struct
class Pile(Struct):
    notes: Vector[Annotated[bytes, Encoded(Notes)]]
    after: Uint8


def test_an_encoded_struct_is_checked_and_stays_bytes() -> None:
    notes = [Notes(b"a", b""), Notes(b"", bytes(100))]
    pile = Pile(tuple(each.encode() for each in notes), 7)
    assert Pile.decode(pile.encode()) == pile
    assert [Notes.decode(each) for each in pile.notes] == notes
    for wrong in ("02016107", "0301610207", "046100000007", "054001610007"):
        with pytest.raises(MalformedError):
            Pile.decode(bytes.fromhex(wrong))


def test_only_opaque_fields_are_left_encoded() -> None:
    with pytest.raises(TypeError, match="opaque"):

        @struct
        class Wrong(Struct):
            value: Annotated[bytes, Encoded(Pair)]


def test_every_tag_has_a_case() -> None:
    with pytest.raises(TypeError, match="without a case"):

        @struct
        class Wrong(Struct):
            value: Annotated[Pair | Likes, Tagged(Colour, {1: Pair, 2: Likes})]


def test_a_changed_copy_does_not_keep_the_old_encoding() -> None:
    kept = Kept.decode(Kept(b"old", ()).encode())
    assert replace(kept, name=b"new").encode() == Kept(b"new", ()).encode() != kept.encode()
