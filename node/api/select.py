"""Finding the one thing a person means: a group or member by name, id prefix or position."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from node.api.errors import ApiError, ErrorCode

PREFIX_SIZE_MIN = 4  # shorter prefixes are more often typing errors
LISTED_MAX = 8


@dataclass(frozen=True, slots=True)
class Named:
    """Something that can be meant: its id (hex or base58), the name it has here, and its position if it has one."""

    id: str
    name: str
    position: int | None = None


_CODES = {
    "group": (ErrorCode.GROUP_NOT_FOUND, ErrorCode.GROUP_AMBIGUOUS),
    "member": (ErrorCode.MEMBER_NOT_FOUND, ErrorCode.MEMBER_AMBIGUOUS),
    "contact": (ErrorCode.CONTACT_NOT_FOUND, ErrorCode.CONTACT_AMBIGUOUS),
    "invitation": (ErrorCode.INVITATION_NOT_FOUND, ErrorCode.INVITATION_NOT_FOUND),
    "request": (ErrorCode.INVITATION_NOT_FOUND, ErrorCode.INVITATION_NOT_FOUND),
    "intent": (ErrorCode.INTENT_NOT_FOUND, ErrorCode.INTENT_NOT_FOUND),
    "token": (ErrorCode.TOKEN_NOT_FOUND, ErrorCode.TOKEN_NOT_FOUND),
    "message": (ErrorCode.MESSAGE_NOT_FOUND, ErrorCode.MESSAGE_NOT_FOUND),
}

Kind = Literal["group", "member", "contact", "invitation", "request", "intent", "token", "message"]


def pick(kind: Kind, reference: str, choices: Sequence[Named]) -> Named:
    """The choice that `reference` means. Raises ApiError when it means none (with a guess) or several (listed).

    Tried in this order, the first that matches anything decides: `#position`, the whole id, the name, the name in
    other letter case, an id prefix or suffix of at least four characters. A shortened id (`12D3…x8bs1Q`) means what it
    was made of.
    """
    not_found, ambiguous = _CODES[kind]
    found = matches(reference, choices)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(described(one) for one in found[:LISTED_MAX])
        more = f" and {len(found) - LISTED_MAX} more" if len(found) > LISTED_MAX else ""
        raise ApiError(ambiguous, f"{reference!r} means {len(found)} {kind}s: {listed}{more}", "give more of the id")
    raise ApiError(not_found, f"there is no {kind} {reference!r}", guess(reference, choices))


def matches(reference: str, choices: Sequence[Named]) -> list[Named]:
    """What a reference may mean, by the first rule that matches anything."""
    folded = reference.casefold()
    if reference.startswith("#") and reference[1:].isdecimal():
        return [one for one in choices if one.position == int(reference[1:])]
    rules: list[Callable[[Named], bool]] = [
        lambda one: one.id == reference,
        lambda one: one.name == reference,
        lambda one: one.name.casefold() == folded,
    ]
    head, _, tail = reference.partition("…")
    if head and tail:  # shortened, as it is shown
        rules.append(lambda one: one.id.startswith(head) and one.id.endswith(tail))
    if len(reference) >= PREFIX_SIZE_MIN:
        rules.append(lambda one: one.id.startswith(reference) or one.id.endswith(reference))
        rules.append(lambda one: one.id.startswith(folded))  # hex typed in capitals
    for rule in rules:
        if found := [one for one in choices if rule(one)]:
            return found
    return []


def guess(reference: str, choices: Sequence[Named]) -> str:
    """A hint: the nearest name, or which names there are."""
    names = [one.name for one in choices if one.name]
    by_folded = {name.casefold(): name for name in names}
    if near := difflib.get_close_matches(reference.casefold(), list(by_folded), n=1):
        return f"did you mean {by_folded[near[0]]!r}?"
    if names:
        more = ", …" if len(names) > LISTED_MAX else ""
        return "there is " + ", ".join(repr(name) for name in names[:LISTED_MAX]) + more
    return ""


def described(one: Named) -> str:
    """A choice as it is listed."""
    short = one.id if len(one.id) <= 16 else f"{one.id[:10]}…{one.id[-4:]}"
    return f"{one.name} ({short})" if one.name else short
