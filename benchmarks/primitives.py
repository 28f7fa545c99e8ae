"""What the primitives cost, measured beside each operation: the prices that floors are reckoned in.

A price is the least that the library under the engine, or the engine's own way of calling it, takes for one step: an
HPKE encryption, a key pair derived with its public bytes, a signature, a check, one HMAC, one hash, one AEAD call. What
goes over long input (a tree inside a GroupInfo) is priced by the byte as well.
"""

import hashlib
import hmac
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as LibraryHpke

from mls.crypto import CipherSuite

Step = Callable[[], object]
Counts = Counter[str]
"""How many of each primitive an operation cannot avoid."""

_SHORT, _LONG = bytes(300), bytes(256 * 1024)


class Prices:
    """Medians of the samples taken since `forget`, in seconds; `sample` takes one more of each primitive."""

    def __init__(self, row: CipherSuite) -> None:
        self._steps = dict(_steps(row))
        self._long_steps = dict(_long_steps(row))
        self._samples: defaultdict[str, list[float]] = defaultdict(list)
        self._long_prices = {name: _least(step) / len(_LONG) for name, step in self._long_steps.items()}

    def sample(self) -> None:
        for name, ways in self._steps.items():
            self._samples[name].append(min(_timed(way) for way in ways))

    def forget(self) -> None:
        self._samples.clear()

    def __getitem__(self, name: str) -> float:
        if name in self._long_prices:
            return self._long_prices[name]
        return statistics.median(self._samples[name])

    def cost(self, counts: Counts) -> float:
        """The floor of an operation, in seconds."""
        return sum(self[name] * count for name, count in counts.items())

    def listed(self) -> dict[str, float]:
        """Every price by its name, in seconds."""
        return {name: self[name] for name in (*self._steps, *self._long_prices)}


def _steps(row: CipherSuite) -> Iterable[tuple[str, tuple[Step, ...]]]:
    """Each primitive with the ways there are to do it, of which the faster one counts."""
    random = _Repeated()
    key, signer = row.generate_hpke_key(random), row.generate_signature_key(random)
    info, secret, digest = bytes(200), bytes(row.hash_size), row.kdf.hash_name
    sealed = row.hpke.seal(key.public, info, secret, random)
    signature = row.signature.sign(signer, _SHORT)
    aead_key, nonce = bytes(row.key_size), bytes(row.nonce_size)
    cipher = row.aead.cipher(aead_key)
    ciphertext = cipher.encrypt(nonce, _SHORT, b"")
    seal: list[Step] = [lambda: row.hpke.seal(key.public, info, secret, random)]
    unseal: list[Step] = [lambda: row.hpke.open(key, info, sealed)]
    check: list[Step] = [lambda: row.signature.verify(signer.public, _SHORT, signature)]
    if row.kem.hpke_id == 0x0020 and row.key_size == 16:
        library = LibraryHpke(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
        public, own = x25519.X25519PublicKey.from_public_bytes(key.public), key.loaded
        joined = library.encrypt(secret, public, info)
        seal.append(lambda: library.encrypt(secret, public, info))
        unseal.append(lambda: library.decrypt(joined, own, info))
    if row.signature.name == "Ed25519":
        verifier = ed25519.Ed25519PublicKey.from_public_bytes(signer.public)
        check.append(lambda: verifier.verify(signature, _SHORT))
    yield "HPKE seal", tuple(seal)
    yield "HPKE open", tuple(unseal)
    yield "derive key", (lambda: row.derive_hpke_key(secret),)
    yield "sign", (lambda: row.signature.sign(signer, _SHORT),)
    yield "verify", tuple(check)
    yield "HMAC", (lambda: hmac.digest(secret, info, digest),)
    yield "hash", (lambda: hashlib.new(digest, info).digest(), lambda: getattr(hashlib, digest)(info).digest())
    yield "AEAD seal", (lambda: cipher.encrypt(nonce, _SHORT, b""),)
    yield "AEAD open", (lambda: cipher.decrypt(nonce, ciphertext, b""),)


def _long_steps(row: CipherSuite) -> Iterable[tuple[str, Step]]:
    """Primitives over long input; their price is by the byte."""
    random = _Repeated()
    signer = row.generate_signature_key(random)
    signature = row.signature.sign(signer, _LONG)
    cipher, nonce = row.aead.cipher(bytes(row.key_size)), bytes(row.nonce_size)
    yield "sign byte", lambda: row.signature.sign(signer, _LONG)
    yield "verify byte", lambda: row.signature.verify(signer.public, _LONG, signature)
    yield "hash byte", lambda: getattr(hashlib, row.kdf.hash_name)(_LONG).digest()
    yield "AEAD byte", lambda: cipher.encrypt(nonce, _LONG, b"")


class _Repeated:
    """Bytes that differ from call to call, which is all that a benchmark asks of randomness."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(self.count.to_bytes(8, "big")).digest(size)


def _timed(step: Step, times: int = 4) -> float:
    """Of this process's own time, by the mean of a few, since reading its clock costs as much as a hash."""
    begin = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - begin) / times


def _least(step: Step, count: int = 9) -> float:
    return min(_timed(step) for _ in range(count))
