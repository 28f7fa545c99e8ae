"""Safety numbers: what two people compare to know that each has the other's true key, and nobody sits in between.

Sixty digits or eighteen words of one hash over both node keys, the same at both ends. Somebody in between would have to
find two keys, one to show to each side, whose numbers are equal: 2^96 attempts for the words, 2^100 for the digits.
"""

import re
from functools import lru_cache
from hashlib import sha512
from typing import TYPE_CHECKING, Final

from ordering import framed

if TYPE_CHECKING:
    from mnemonic import Mnemonic

LABEL: Final = "conclave/safety-number/v1"
DIGITS: Final = 60
WORDS: Final = 18
CODE_SIZE_MAX: Final = 1024  # characters of a code that are looked at

_GROUP: Final = 5  # digits that are read in one breath
_GROUP_SIZE: Final = 5  # bytes that they are made of
_WORDS_SIZE: Final = 24  # bytes that the words are made of
_SEPARATORS: Final = re.compile(r"[\s,.;:_/-]+")


class CodeError(ValueError):
    """What was typed is no safety number; the message says what is missing."""


def safety_digits(key: bytes, other: bytes) -> str:
    """Twelve groups of five digits."""
    digest = _digest("digits", key, other)
    groups = (digest[start : start + _GROUP_SIZE] for start in range(0, DIGITS // _GROUP * _GROUP_SIZE, _GROUP_SIZE))
    return " ".join(f"{int.from_bytes(group, 'big') % 10**_GROUP:0{_GROUP}}" for group in groups)


def safety_words(key: bytes, other: bytes) -> str:
    """Eighteen words of the BIP 39 list, the last of which checks the others."""
    return str(_words().to_mnemonic(_digest("words", key, other)[:_WORDS_SIZE]))


def matches(code: str, key: bytes, other: bytes) -> bool:
    """Whether digits or words, as somebody read them out, are those of two keys; `CodeError` when they are neither."""
    parts = [part for part in _SEPARATORS.split(code[:CODE_SIZE_MAX].casefold()) if part]
    digits = "".join(parts)
    if digits.isascii() and digits.isdecimal():
        if len(digits) != DIGITS:
            raise CodeError(f"a safety number has {DIGITS} digits, this has {len(digits)}")
        return digits == safety_digits(key, other).replace(" ", "")
    unknown = [part for part in parts if part not in _words().wordlist]
    if unknown:
        raise CodeError(f"{unknown[0][:20]!r} is no word of a safety number; it is {DIGITS} digits or {WORDS} words")
    if len(parts) != WORDS:
        raise CodeError(f"a safety number has {WORDS} words or {DIGITS} digits, this has {len(parts)} words")
    return parts == safety_words(key, other).split()


def _digest(form: str, key: bytes, other: bytes) -> bytes:
    return sha512(framed(LABEL, form.encode(), *sorted((key, other)))).digest()


@lru_cache(maxsize=1)
def _words() -> "Mnemonic":
    from mnemonic import Mnemonic  # reads its list from a file

    return Mnemonic("english")
