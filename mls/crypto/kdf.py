"""Hash, HMAC and HKDF (RFC 5869) for one hash function: the KDF column of the suite table."""

import hashlib
import hmac
from dataclasses import dataclass

from mls.errors import MisuseError


@dataclass(frozen=True, slots=True)
class Kdf:
    """HKDF over one hash. `hpke_id` is its KDF code point in RFC 9180 §7.2; `size` is Nh in bytes."""

    hpke_id: int
    hash_name: str
    size: int

    def hash(self, data: bytes) -> bytes:
        digest: bytes = getattr(hashlib, self.hash_name)(data).digest()
        return digest

    def mac(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self.hash_name)

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(self.size), ikm, self.hash_name)

    def expand(self, prk: bytes, info: bytes, length: int) -> bytes:
        if length <= self.size:  # all of RFC 9420's own uses but the keys of two suites
            return hmac.digest(prk, info + b"\x01", self.hash_name)[:length]
        if length > 255 * self.size:
            raise MisuseError(f"HKDF yields at most {255 * self.size} bytes")
        out, block = bytearray(), b""
        while len(out) < length:
            block = hmac.digest(prk, block + info + bytes((len(out) // self.size + 1,)), self.hash_name)
            out += block
        return bytes(out[:length])

    def labeled_extract(self, suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        """RFC 9180 §4."""
        return self.extract(salt, b"HPKE-v1" + suite_id + label + ikm)

    def labeled_expand(self, suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        """RFC 9180 §4."""
        return self.expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, length)


HKDF_SHA256 = Kdf(1, "sha256", 32)
HKDF_SHA384 = Kdf(2, "sha384", 48)
HKDF_SHA512 = Kdf(3, "sha512", 64)
