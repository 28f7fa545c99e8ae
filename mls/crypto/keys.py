"""Private keys as objects: loaded once, kept alive, and never printed (V216)."""

from typing import Any, Protocol


class PrivateKeyOwner(Protocol):
    """What made a key and can use it: a KEM or a signature scheme."""

    @property
    def name(self) -> str: ...


class _PrivateKey:
    """A private key beside its public bytes. Equality is that of the key pair; `repr` shows the public half only."""

    __slots__ = ("_raw", "loaded", "owner", "public")

    def __init__(self, owner: PrivateKeyOwner, loaded: Any, raw: bytes, public: bytes) -> None:
        self.owner = owner
        self.loaded = loaded  # the library's key object; used by `owner` only
        self._raw = raw
        self.public = public

    def to_bytes(self) -> bytes:
        """The private key as the cipher suite serialises it. For snapshots; nothing else needs it."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _PrivateKey) and other.public == self.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.owner.name}, public {self.public[:4].hex()}…>"


class HpkePrivateKey(_PrivateKey):
    """The private half of an HPKE key pair; `.public` is its serialised public key."""

    __slots__ = ()


class SignaturePrivateKey(_PrivateKey):
    """The private half of a signature key pair; `.public` is its serialised public key."""

    __slots__ = ()
