"""HPKE's one-stage key schedule (draft-ietf-hpke-pq): no MLS suite has it, but half of the published KEM vectors do.

For tests only: with it a vector's key, nonce and ciphertexts judge the shared secret that our KEMs agree on.
"""

import hashlib
from dataclasses import dataclass

from mls.crypto.aead import Aead


@dataclass(frozen=True)
class OneStageContext:
    key: bytes
    base_nonce: bytes
    exporter_secret: bytes
    kdf_id: int
    suite_id: bytes

    def export(self, context: bytes, length: int) -> bytes:
        return labeled_derive(self.kdf_id, self.suite_id, self.exporter_secret, b"sec", context, length)


SECRET_SIZES = {0x10: 32, 0x11: 64, 0x12: 32, 0x13: 64}


def schedule(kem_id: int, kdf_id: int, aead: Aead, shared_secret: bytes, info: bytes) -> OneStageContext:
    """Base mode: no pre-shared key and no identity for one."""
    suite_id = b"HPKE" + b"".join(each.to_bytes(2, "big") for each in (kem_id, kdf_id, aead.hpke_id))
    secrets = prefixed(b"") + prefixed(shared_secret)
    context = b"\0" + prefixed(b"") + prefixed(info)
    exporter_size = SECRET_SIZES[kdf_id]
    length = aead.key_size + aead.nonce_size + exporter_size
    out = labeled_derive(kdf_id, suite_id, secrets, b"secret", context, length)
    key, rest = out[: aead.key_size], out[aead.key_size :]
    return OneStageContext(key, rest[: aead.nonce_size], rest[aead.nonce_size :], kdf_id, suite_id)


def labeled_derive(kdf_id: int, suite_id: bytes, ikm: bytes, label: bytes, context: bytes, length: int) -> bytes:
    data = ikm + b"HPKE-v1" + suite_id + prefixed(label) + length.to_bytes(2, "big") + context
    match kdf_id:
        case 0x10:
            return hashlib.shake_128(data).digest(length)
        case 0x11:
            return hashlib.shake_256(data).digest(length)
        case 0x12:
            return turbo_shake(168, data, length)
        case 0x13:
            return turbo_shake(136, data, length)
    raise AssertionError(f"no one-stage KDF {kdf_id:#x}")


def prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def turbo_shake(rate: int, data: bytes, length: int) -> bytes:
    """RFC 9861, with its usual domain byte 0x1f."""
    padded = bytearray(data + b"\x1f")
    padded += bytes(-len(padded) % rate)
    padded[-1] ^= 0x80
    state = [0] * 25
    for start in range(0, len(padded), rate):
        for lane in range(rate // 8):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        state = keccak_p12(state)
    out = b""
    while len(out) < length:
        out += b"".join(lane.to_bytes(8, "little") for lane in state[: rate // 8])
        state = keccak_p12(state)
    return out[:length]


def keccak_p12(state: list[int]) -> list[int]:
    """The last 12 of Keccak-f[1600]'s 24 rounds."""
    for constant in ROUND_CONSTANTS[12:]:
        parity = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        theta = [parity[x - 1] ^ rotated(parity[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * 25
        for x in range(5):
            for y in range(5):
                moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotated(state[x + 5 * y] ^ theta[x], OFFSETS[x + 5 * y])
        state = [
            moved[x + 5 * y] ^ (~moved[(x + 1) % 5 + 5 * y] & moved[(x + 2) % 5 + 5 * y])
            for y in range(5)
            for x in range(5)
        ]
        state[0] ^= constant
    return state


def rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> 64 - by) & (1 << 64) - 1


def round_constants() -> list[int]:
    register, out = 1, []
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << (1 << j) - 1
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        out.append(constant)
    return out


def offsets() -> list[int]:
    out, x, y = [0] * 25, 1, 0
    for t in range(24):
        out[x + 5 * y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return out


ROUND_CONSTANTS, OFFSETS = round_constants(), offsets()
