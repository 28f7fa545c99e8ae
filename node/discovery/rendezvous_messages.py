"""What is said between a rendezvous point and those who use it: registering a signpost, and asking for one by its tag.

A tag is a hash of a peer's public key and the day: whom one looks for is shown only to who knows that peer already.
"""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from node.discovery.signposts import SIGNPOST_SIZE_MAX
from ordering import Wire, digest

REGISTER_PROTOCOL: Final = "/conclave/rendezvous/register/1"
ASK_PROTOCOL: Final = "/conclave/rendezvous/ask/1"
TAG_LABEL: Final = "conclave/rendezvous/tag/v1"

TTL_S_MAX: Final = 7200  # seconds that a point keeps a signpost
DAY_S: Final = 24 * 3600
TAG_SIZE: Final = 32


class Register(Wire, frozen=True):
    """Keep this signpost of mine."""

    SIZE_MAX: ClassVar[int] = SIGNPOST_SIZE_MAX + 16

    signpost: Annotated[bytes, Meta(max_length=SIGNPOST_SIZE_MAX)]


class Registered(Wire, frozen=True):
    """It is kept for so long."""

    SIZE_MAX: ClassVar[int] = 16

    ttl_s: Annotated[int, Meta(ge=1, le=TTL_S_MAX)]


class Ask(Wire, frozen=True):
    """Where is the peer with this tag?"""

    SIZE_MAX: ClassVar[int] = 64

    tag: Annotated[bytes, Meta(min_length=TAG_SIZE, max_length=TAG_SIZE)]


class Answer(Wire, frozen=True):
    """Its signpost; empty when it is not registered here."""

    SIZE_MAX: ClassVar[int] = SIGNPOST_SIZE_MAX + 16

    signpost: Annotated[bytes, Meta(max_length=SIGNPOST_SIZE_MAX)]


def tag_of(public_key: bytes, day: int) -> bytes:
    """How a peer is asked for on that day; 32 bytes."""
    return digest(TAG_LABEL, public_key, day)


def day_of(now_s: int) -> int:
    """The day of a moment, in UTC."""
    return now_s // DAY_S
