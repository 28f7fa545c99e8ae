"""Padding policies (RFC 9420 §6.3.1): how much the length of a sealed message tells of the length of what it says.

A policy is a function from the size of the content (with its signature) to the size it is padded to; any function will
do that gives no less than it gets, and gives members the same so that nobody stands out by it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mls.errors import MisuseError

Padding = Callable[[int], int]
"""Sizes in bytes."""


def no_padding(size: int) -> int:
    """Sizes are told as they are."""
    return size


@dataclass(frozen=True, slots=True)
class MultipleOf:
    """Up to the next multiple of so many bytes: cheap, and hides little of long messages."""

    step: int

    def __post_init__(self) -> None:
        if self.step < 1:
            raise MisuseError("padding to multiples of nothing")

    def __call__(self, size: int) -> int:
        return -(-size // self.step) * self.step


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    """Up to the next power of two, `least` at the least: one bit of the length is told for each doubling."""

    least: int = 256

    def __post_init__(self) -> None:
        if self.least < 1:
            raise MisuseError("padding to nothing")

    def __call__(self, size: int) -> int:
        return 1 << (max(size, self.least) - 1).bit_length()


DEFAULT_PADDING = MultipleOf(64)


def padded(padding: Padding, size: int) -> int:
    """What the policy says of a size; raises MisuseError where it says less than that."""
    target = padding(size)
    if target < size:
        raise MisuseError(f"a padding policy that makes {target} bytes of {size}")
    return target
