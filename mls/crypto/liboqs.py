"""liboqs as an accelerator: ML-KEM, and the checking of ML-DSA signatures, several times as fast with the same bytes.

Never needed and never fetched: a host that wants it calls `accelerate`, which looks for the C library where a person
has put it, checks it against `cryptography`, and then lets it compute what it agrees on. Its authors call it a
prototype, not meant for production or for protecting sensitive data; say so to whoever is offered it.

This binds the C library itself. The Python wrapper (`liboqs-python`) downloads and builds that library on import where
it finds none, which nothing here may cause, and it has no encapsulation from given randomness.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mls.crypto.kem import Random
from mls.crypto.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87, MlDsaScheme
from mls.crypto.ml_kem import ML_KEM_768, ML_KEM_1024, SEED_SIZE, SHARED_SECRET_SIZE, MlKem, MlKemKey

ML_KEMS: tuple[MlKem, ...] = (ML_KEM_768, ML_KEM_1024)
ML_DSAS: tuple[MlDsaScheme, ...] = (ML_DSA_44, ML_DSA_65, ML_DSA_87)

NOT_FOUND = "no liboqs: neither in OQS_INSTALL_PATH nor among the system's libraries"
SUCCESS = 0


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What came of the search: liboqs's version and the algorithms it computes from now on, or why there is none."""

    version: str | None
    algorithms: tuple[str, ...]
    reason: str

    def __bool__(self) -> bool:
        return bool(self.algorithms)


def accelerate(install_path: str | None = None) -> Acceleration:
    """Let liboqs compute what it has and agrees on, from now on and for the whole process.

    `install_path` is where it was installed (by custom what the environment calls OQS_INSTALL_PATH); after it come the
    system's own places. Searching may take a tenth of a second: call this once, at the start. Keys, ciphertexts and
    verdicts are the same with it and without, so it may happen between any two operations. Never raises.
    """
    library = load(install_path)
    if library is None:
        return Acceleration(None, (), NOT_FOUND)
    algorithms = []
    for ml_kem in ML_KEMS:
        if (kem := library.ml_kem(ml_kem)) is not None:
            ml_kem.implementation = kem
            algorithms.append(ml_kem.name)
    for ml_dsa in ML_DSAS:
        if (verifier := library.ml_dsa(ml_dsa)) is not None:
            ml_dsa.verifier = verifier
            algorithms.append(ml_dsa.name)
    reason = "in use" if algorithms else "this liboqs has none of our algorithms, or disagrees about all of them"
    return Acceleration(library.version, tuple(algorithms), reason)


def decelerate() -> None:
    """Back to `cryptography` for everything; keys that liboqs has made go on with it."""
    for ml_kem in ML_KEMS:
        ml_kem.implementation = ml_kem.library
    for ml_dsa in ML_DSAS:
        ml_dsa.verifier = ml_dsa.library


def load(install_path: str | None = None) -> "Liboqs | None":
    """The C library, or None where there is none (or one too old to have what we call)."""
    from ctypes.util import find_library  # here, as it is slow to import and most hosts never come by

    candidates = []
    if install_path:
        names = ("lib/liboqs.so", "lib64/liboqs.so", "lib/liboqs.dylib", "bin/oqs.dll", "bin/liboqs.dll")
        candidates += [str(path) for name in names if (path := Path(install_path) / name).is_file()]
    if system := find_library("oqs"):
        candidates.append(system)
    for candidate in candidates:
        try:
            return _load(candidate)
        except (OSError, AttributeError):
            continue
    return None


@cache
def _load(path: str) -> "Liboqs":
    return Liboqs(ctypes.CDLL(path))


class Liboqs:
    """The C library with the calls we make declared. Raises AttributeError where one of them is missing."""

    def __init__(self, native: ctypes.CDLL) -> None:
        pointer, data, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
        self.native = native
        native.OQS_version.restype = ctypes.c_char_p
        native.OQS_version.argtypes = ()
        for name in ("OQS_KEM_new", "OQS_SIG_new"):
            getattr(native, name).restype = pointer
            getattr(native, name).argtypes = (data,)
        native.OQS_KEM_keypair_derand.argtypes = (pointer, data, data, data)
        native.OQS_KEM_encaps_derand.argtypes = (pointer, data, data, data, data)
        native.OQS_KEM_decaps.argtypes = (pointer, data, data, data)
        native.OQS_SIG_verify.argtypes = (pointer, data, size, data, size, data)
        native.OQS_init()
        self.version = native.OQS_version().decode()

    def ml_kem(self, parameters: MlKem) -> "OqsMlKem | None":
        """Its ML-KEM, if it was built with one and that does the same as the library's."""
        handle = self.native.OQS_KEM_new(parameters.name.encode())
        if not handle:
            return None
        kem = OqsMlKem(self, handle, parameters.public_size, parameters.ciphertext_size)
        return kem if _same_kem(kem, parameters) else None

    def ml_dsa(self, scheme: MlDsaScheme) -> "OqsVerifier | None":
        """Its ML-DSA for verification, if it was built with one and that judges as the library's does."""
        handle = self.native.OQS_SIG_new(scheme.name.encode())
        if not handle:
            return None
        verifier = OqsVerifier(self, handle)
        return verifier if _same_verdicts(verifier, scheme) else None


class OqsMlKemKey:
    """A private key in liboqs's expanded form; `repr` shows nothing of it."""

    __slots__ = ("_expanded", "_kem")

    def __init__(self, kem: "OqsMlKem", expanded: bytes) -> None:
        self._kem, self._expanded = kem, expanded

    def decapsulate(self, ciphertext: bytes, /) -> bytes:
        return self._kem.decapsulate(self._expanded, ciphertext)


class OqsMlKem:
    """ML-KEM as liboqs has it: also encapsulation with the randomness that it is given."""

    def __init__(self, library: Liboqs, handle: int, public_size: int, ciphertext_size: int) -> None:
        self._native, self._handle = library.native, handle  # the handle lives as long as the process
        self._public_size, self._ciphertext_size = public_size, ciphertext_size
        self._expanded_size = 2 * public_size + 32  # FIPS 203's dk: 768k + 96 bytes, where a public key has 384k + 32

    def load(self, seed: bytes, /) -> tuple[MlKemKey, bytes]:
        public, expanded = _room(self._public_size), _room(self._expanded_size)
        _checked(self._native.OQS_KEM_keypair_derand(self._handle, public, expanded, seed))
        return OqsMlKemKey(self, expanded.raw), public.raw

    def encapsulate(self, public: bytes, random: Random, /) -> tuple[bytes, bytes]:
        ciphertext, secret = _room(self._ciphertext_size), _room(SHARED_SECRET_SIZE)
        seed = random(32)
        _checked(self._native.OQS_KEM_encaps_derand(self._handle, ciphertext, secret, public, seed))
        return secret.raw, ciphertext.raw

    def decapsulate(self, expanded: bytes, ciphertext: bytes) -> bytes:
        secret = _room(SHARED_SECRET_SIZE)
        _checked(self._native.OQS_KEM_decaps(self._handle, secret, ciphertext, expanded))
        return secret.raw


class OqsVerifier:
    """ML-DSA verification as liboqs has it."""

    def __init__(self, library: Liboqs, handle: int) -> None:
        self._native, self._handle = library.native, handle

    def verify(self, public: bytes, message: bytes, signature: bytes, /) -> bool:
        status = self._native.OQS_SIG_verify(self._handle, message, len(message), signature, len(signature), public)
        return bool(status == SUCCESS)


def _room(size: int) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(size)


def _checked(status: int) -> None:
    if status != SUCCESS:
        raise ValueError("liboqs refuses")


def _same_kem(kem: OqsMlKem, parameters: MlKem) -> bool:
    """One key and one exchange in each direction, compared byte for byte."""
    seed = bytes(range(SEED_SIZE))
    own, own_public = parameters.library.load(seed)
    try:
        theirs, their_public = kem.load(seed)
        exchanges = (parameters.library.encapsulate(own_public, bytes), kem.encapsulate(own_public, bytes))
        agreed = all(
            secret == own.decapsulate(ciphertext) == theirs.decapsulate(ciphertext) for secret, ciphertext in exchanges
        )
    except ValueError:
        return False
    return agreed and own_public == their_public


def _same_verdicts(verifier: OqsVerifier, scheme: MlDsaScheme) -> bool:
    """A signature of the library's holds, and holds for nothing else."""
    key = scheme.load_private(bytes(range(32)))
    signature = scheme.sign(key, b"message")
    return verifier.verify(key.public, b"message", signature) and not verifier.verify(key.public, b"other", signature)
