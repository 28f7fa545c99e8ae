"""Cards and invites as one word to paste: `conclave:card:` and base64url, with a checksum at the end.

The checksum tells what was mistyped or cut short from what is well copied and no good for another reason. It is no
protection: what is inside is signed.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Literal

from mls import sha256
from node.errors import NodeError

Kind = Literal["card", "invite"]

SCHEME: Final = "conclave:"
CHECKSUM_SIZE: Final = 4
TEXT_SIZE_MAX: Final = 16 * 1024
"""Characters of pasted text that are looked at; the largest invite has half of it."""

_BODY: Final = re.compile(r"[A-Za-z0-9_-]+")
_AROUND: Final = "<>\"'`()[],;."  # what people and mail programs put around a link
_NOUNS: Final = {"card": "a contact card", "invite": "an invite"}
_COMMANDS: Final = {"card": "conclave contact add", "invite": "conclave group join"}


class TextError(NodeError):
    """The text is not what was expected; the message says what it looks like instead."""


class MistypedError(TextError):
    """It was copied badly: a character is wrong, or the end is missing."""


def to_text(kind: Kind, data: bytes) -> str:
    """The text form of a card or an invite."""
    return f"{SCHEME}{kind}:" + urlsafe_b64encode(data + _checksum(kind, data)).rstrip(b"=").decode()


def from_text(kind: Kind, text: str) -> bytes:
    """What `to_text` was given, spaces and line breaks in between forgiven; raises `TextError`."""
    noun = _NOUNS[kind]
    if len(text) > TEXT_SIZE_MAX:
        raise TextError(f"this is not {noun}: it has {len(text)} characters, {noun} has at most {TEXT_SIZE_MAX}")
    word = "".join(text.split()).strip(_AROUND)
    if word[: len(SCHEME)].lower() != SCHEME:
        raise TextError(f"this is not {noun}: it should begin with {SCHEME}{kind}:")
    found, _, body = word[len(SCHEME) :].partition(":")
    other = next((each for each in _NOUNS if each == found.lower() and each != kind), None)
    if other is not None:
        raise TextError(f"this is {_NOUNS[other]}, not {noun}: `{_COMMANDS[other]}` takes it")
    if found.lower() != kind:
        raise MistypedError(f"this is not {noun}: it should begin with {SCHEME}{kind}:")
    if not _BODY.fullmatch(body) or len(body) % 4 == 1:
        raise MistypedError(f"the {kind} is mistyped or cut short; copy all of it again")
    data = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    content, checksum = data[:-CHECKSUM_SIZE], data[-CHECKSUM_SIZE:]
    if checksum != _checksum(kind, content) or to_text(kind, content) != f"{SCHEME}{kind}:{body}":
        raise MistypedError(f"the {kind} is mistyped or cut short (its checksum does not match); copy all of it again")
    return content


def _checksum(kind: Kind, data: bytes) -> bytes:
    return sha256(f"conclave/text/{kind}/v1\0".encode() + data)[:CHECKSUM_SIZE]
