"""The vault: a small file that holds the key of the store, sealed under a passphrase or a key file.

The store key is random and never changes; the vault wraps it with AES-256-GCM under a key that comes from
the passphrase by Argon2id, or straight from the key file. The header is authenticated with it, so nobody can
turn one mode into another or weaken the stretching of a given file.

A key file protects the store from whoever gets a copy of the store alone. Beside the store, in one
directory, it protects from nothing but a careless copy of single files; put it on other media, or use a passphrase.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from node.errors import NodeError, NoNodeError
from node.secret_files import SECRET_FILE_SIZE_MAX, SecretFileError, read_secret_file, write_secret_file

VAULT_VERSION: Final = 1
STORE_KEY_SIZE: Final = 32
SALT_SIZE: Final = 16
NONCE_SIZE: Final = 12

Mode = Literal["passphrase", "key-file"]
Random = Callable[[int], bytes]


class VaultError(NodeError):
    """The vault cannot be opened or created; the message says why and what helps."""


class WrongKeyError(VaultError):
    """The passphrase or key file is not the one this vault was sealed with."""


@dataclass(frozen=True, slots=True)
class StoreKey:
    """The 32 bytes that open the store."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase, as bytes."""

    value: bytes = field(repr=False)

    @classmethod
    def from_file(cls, path: Path) -> "Passphrase":
        """The first line of a file that only we can read."""
        return cls._of(read_secret_file(path), str(path))

    @classmethod
    def from_descriptor(cls, descriptor: int) -> "Passphrase":
        """The first line of what an open file descriptor gives (``--passphrase-fd``); closes it."""
        try:
            with open(descriptor, "rb") as file:
                return cls._of(file.read(SECRET_FILE_SIZE_MAX), f"file descriptor {descriptor}")
        except OSError as error:
            raise VaultError(f"file descriptor {descriptor} cannot be read: {error.strerror}") from error

    @classmethod
    def _of(cls, data: bytes, origin: str) -> "Passphrase":
        line = data.split(b"\n", 1)[0].rstrip(b"\r")
        if not line:
            raise VaultError(f"{origin} holds no passphrase: its first line is empty")
        return cls(line)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file that holds 32 random bytes in hex; only its path is kept."""

    path: Path


Opener = Passphrase | KeyFile


class Cost(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one guess at a passphrase costs (Argon2id). 64 MiB in three passes take about 0.6 s."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    @property
    def is_sane(self) -> bool:
        """Within what Argon2 allows and what a damaged file may make us spend."""
        return 1 <= self.iterations <= 64 and 1 <= self.lanes <= 64 and 8 * self.lanes <= self.memory_kib <= 2**21


class _Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    mode: Mode
    salt: bytes
    cost: Cost


class _Sealed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    header: bytes  # an encoded _Header, the AEAD's additional data
    nonce: bytes
    ciphertext: bytes


def create_vault(path: Path, opener: Opener, random: Random, cost: Cost = Cost()) -> StoreKey:  # noqa: B008 - frozen
    """Seal a fresh store key into a new vault; a key file that does not exist yet is created first (mode 0600).

    Raises ``VaultError`` when there is a vault already: overwriting it would lose the store behind it.
    """
    from mls import aead_seal  # here and below: to ask for a passphrase, no engine is needed

    if path.exists():
        raise VaultError(f"vault {path} exists already; overwriting it would lose the store it opens")
    if isinstance(opener, KeyFile) and not opener.path.exists():
        write_secret_file(opener.path, random(STORE_KEY_SIZE).hex().encode() + b"\n")
    key = StoreKey(random(STORE_KEY_SIZE))
    header = _Header(VAULT_VERSION, _mode(opener), random(SALT_SIZE), cost)
    aad, nonce = msgspec.msgpack.encode(header), random(NONCE_SIZE)
    sealed = _Sealed(aad, nonce, aead_seal(_wrapping_key(opener, header), nonce, key.value, aad))
    write_secret_file(path, msgspec.msgpack.encode(sealed))
    return key


def open_vault(path: Path, opener: Opener) -> StoreKey:
    """The store key.

    Raises ``WrongKeyError`` for the wrong passphrase or key file, ``SecretFileError`` for a file that cannot be read
    or that others can read, ``VaultError`` for a vault that is missing, damaged or of another version.
    """
    from mls import UnopenableError, aead_open

    sealed, header = _read(path)
    if header.mode != _mode(opener):
        wanted = "a passphrase" if header.mode == "passphrase" else "a key file"
        raise VaultError(f"vault {path} opens by {wanted}")
    try:
        return StoreKey(aead_open(_wrapping_key(opener, header), sealed.nonce, sealed.ciphertext, sealed.header))
    except UnopenableError:
        what = f"key file {opener.path}" if isinstance(opener, KeyFile) else "this passphrase"
        raise WrongKeyError(f"{what} does not open vault {path}") from None


def vault_mode(path: Path) -> Mode:
    """What opens this vault, so that the caller knows whether to ask for a passphrase."""
    return _read(path)[1].mode


def _mode(opener: Opener) -> Mode:
    return "key-file" if isinstance(opener, KeyFile) else "passphrase"


def _read(path: Path) -> tuple[_Sealed, _Header]:
    if not path.exists():
        raise NoNodeError(f"there is no node in {path.parent} ({path.name} is missing)")
    data = read_secret_file(path)
    try:
        sealed = msgspec.msgpack.decode(data, type=_Sealed)
        version = msgspec.msgpack.decode(sealed.header, type=list[msgspec.Raw])[0]
        if (found := msgspec.msgpack.decode(version)) != VAULT_VERSION:
            raise VaultError(f"vault {path} has version {found}; this program reads version {VAULT_VERSION}")
        header = msgspec.msgpack.decode(sealed.header, type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
        raise VaultError(f"vault {path} is damaged; restore it from a copy") from error
    if not header.cost.is_sane or len(header.salt) != SALT_SIZE or len(sealed.nonce) != NONCE_SIZE:
        raise VaultError(f"vault {path} is damaged; restore it from a copy")
    return sealed, header


def _wrapping_key(opener: Opener, header: _Header) -> bytes:
    from mls import argon2id

    if isinstance(opener, Passphrase):
        cost = header.cost
        return argon2id(
            opener.value,
            header.salt,
            length=STORE_KEY_SIZE,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_kib=cost.memory_kib,
        )
    try:
        key = bytes.fromhex(read_secret_file(opener.path).decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != STORE_KEY_SIZE:
        raise SecretFileError(f"{opener.path} is not a key file: {STORE_KEY_SIZE} bytes in hex are expected")
    return key
