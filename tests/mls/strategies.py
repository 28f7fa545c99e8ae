"""Any value of any wire struct, by reading its declaration: what a struct says of its layout is all that is needed."""

import importlib
import pkgutil
import types
import typing
from dataclasses import fields
from enum import IntEnum
from typing import Any

from hypothesis import strategies as st

import mls
from mls.codec import Struct
from mls.framing import AuthenticatedContent, FramedContent, FramedContentAuthData, PublicMessage
from mls.registry import ContentType, SenderType, WireFormat
from mls.wire_types import Encoded, Fixed, Select, Tagged, VarBytes, VarVector, When, Width

ELEMENTS_MAX = 2
BYTES_MAX = 70
"""Long enough for a length of two bytes."""


def all_structs() -> list[type[Struct]]:
    """Every struct of the engine, whichever module declares it."""
    for module in pkgutil.walk_packages(mls.__path__, "mls."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: set[type[Struct]] = set()
    waiting = [Struct]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found.update(each for each in below if each.__module__.startswith("mls.") and hasattr(each, "unpack"))
    return sorted(found, key=lambda each: (each.__module__, each.__qualname__))


def is_by_hand(kind: type[Struct]) -> bool:
    return "read" in kind.__dict__


def values(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Values of that struct. One with a hand-written layout has to be known here."""
    return BY_HAND[kind]() if is_by_hand(kind) else _declared(kind)


def annotations(kind: type[Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {each.name: hints[each.name] for each in fields(kind)}  # type: ignore[arg-type]


def parts(annotation: Any) -> list[Any]:
    """The annotations directly inside one: elements, cases, or the type that is optional."""
    marker = annotation.__metadata__[-1] if hasattr(annotation, "__metadata__") else None
    match marker:
        case Select(cases=cases, beyond=beyond):
            return [each for each in (*cases.values(), *(() if beyond is None else beyond[1:])) if each is not None]
        case Tagged(cases=cases):
            return list(cases.values())
        case VarVector() | When():
            return [_inner(annotation.__origin__)]
        case None if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            return [_inner(annotation)]
    return []


def _inner(annotation: Any) -> Any:
    return next(each for each in typing.get_args(annotation) if each not in (type(None), Ellipsis))


@st.composite
def _declared(draw: st.DrawFn, kind: type[Struct]) -> Any:
    made: dict[str, Any] = {}
    declared = annotations(kind)
    markers = [each.__metadata__[-1] for each in declared.values() if hasattr(each, "__metadata__")]
    selecting = {each.discriminant: each for each in markers if isinstance(each, Select)}
    for name, annotation in declared.items():
        chosen = selecting.get(name)
        made[name] = draw(_field(annotation, made) if chosen is None else _discriminants(chosen).map(annotation))
    return kind(**made)


def _discriminants(chosen: Select) -> st.SearchStrategy[int]:
    own = st.sampled_from(list(chosen.cases))
    return own if chosen.beyond is None else own | st.sampled_from(chosen.beyond[0])


def _field(annotation: Any, before: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a field, `before` being those of the fields in front of it."""
    marker = annotation.__metadata__[-1] if hasattr(annotation, "__metadata__") else None
    match marker:
        case Width(size=size):
            return st.integers(0, 256**size - 1)
        case Fixed(size=size):
            return st.binary(min_size=size, max_size=size)
        case VarBytes():
            return st.binary(max_size=BYTES_MAX)
        case VarVector():
            return st.lists(_field(parts(annotation)[0], before), max_size=ELEMENTS_MAX).map(tuple)
        case Select(discriminant=discriminant, cases=cases, beyond=beyond):
            case = cases[before[discriminant]] if beyond is None else cases.get(before[discriminant], beyond[1])
            return st.none() if case is None else _field(case, before)
        case Tagged(cases=cases):
            return st.one_of([values(case) for case in cases.values()])
        case Encoded(kind=kind):
            return values(kind).map(lambda value: value.encode())
        case When(discriminant=discriminant, values=present):
            return _field(parts(annotation)[0], before) if before[discriminant] in present else st.none()
    if inner := parts(annotation):
        return st.none() | _field(inner[0], before)
    if issubclass(annotation, Struct):
        return values(annotation)
    assert issubclass(annotation, IntEnum)
    return _members(annotation)


def _members(kind: Any) -> st.SearchStrategy[Any]:
    """Of a closed enumeration its members; of an open one unknown values too."""
    known = st.sampled_from(kind)
    return known | st.integers(0, 0xFFFF).map(kind) if kind.is_open() else known


@st.composite
def _contents(draw: st.DrawFn) -> tuple[FramedContent, FramedContentAuthData]:
    content = draw(values(FramedContent))
    tag = draw(st.binary(max_size=BYTES_MAX)) if content.content_type is ContentType.COMMIT else None
    return content, FramedContentAuthData(draw(st.binary(max_size=BYTES_MAX)), tag)


@st.composite
def _authenticated(draw: st.DrawFn) -> AuthenticatedContent:
    return AuthenticatedContent(draw(st.sampled_from(WireFormat)), *draw(_contents()))


@st.composite
def _public_messages(draw: st.DrawFn) -> PublicMessage:
    content, auth = draw(_contents())
    by_member = content.sender.sender_type is SenderType.MEMBER
    return PublicMessage(content, auth, draw(st.binary(max_size=BYTES_MAX)) if by_member else None)


BY_HAND: dict[type[Struct], Any] = {AuthenticatedContent: _authenticated, PublicMessage: _public_messages}
