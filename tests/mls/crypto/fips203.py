"""ML-KEM's encapsulation from FIPS 203, slow and plain: what a library that takes no randomness is checked against.

For tests only. Numbers in comments are the standard's algorithms.
"""

import hashlib

from mls.crypto import Random
from mls.crypto.ml_kem import MlKemImplementation, MlKemKey

Q = 3329
Poly = list[int]


class SlowMlKem:
    """An implementation that encapsulates with the randomness it is given; keys are another one's."""

    def __init__(self, keys: MlKemImplementation, rank: int) -> None:
        self._keys, self._rank = keys, rank

    def load(self, seed: bytes, /) -> tuple[MlKemKey, bytes]:
        return self._keys.load(seed)

    def encapsulate(self, public: bytes, random: Random, /) -> tuple[bytes, bytes]:
        return encapsulate(self._rank, public, random(32))


def encapsulate(rank: int, public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """(shared secret, ciphertext) of ML-KEM-768 (rank 3) or ML-KEM-1024 (rank 4), 17."""
    hashed = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    return hashed[:32], encrypt(rank, public, message, hashed[32:])


def encrypt(rank: int, public: bytes, message: bytes, coins: bytes) -> bytes:
    """K-PKE.Encrypt, 14."""
    du, dv = (10, 4) if rank == 3 else (11, 5)
    t = [unpack(public[384 * i : 384 * (i + 1)], 12) for i in range(rank)]
    rho = public[384 * rank :]
    noise = [sample_cbd2(hashlib.shake_256(coins + bytes((n,))).digest(128)) for n in range(2 * rank + 1)]
    y, e1, e2 = [ntt(each) for each in noise[:rank]], noise[rank:-1], noise[-1]
    out = b""
    for i in range(rank):
        row = [multiply(sample_ntt(rho + bytes((i, j))), y[j]) for j in range(rank)]  # A transposed
        out += pack([compress(c, du) for c in add(inverse_ntt(total(row)), e1[i])], du)
    mu = [(bit * Q + 1) // 2 for bit in unpack(message, 1)]
    v = add(add(inverse_ntt(total([multiply(t[j], y[j]) for j in range(rank)])), e2), mu)
    return out + pack([compress(c, dv) for c in v], dv)


def compress(value: int, bits: int) -> int:
    return ((value << bits + 1) + Q) // (2 * Q) % (1 << bits)


def pack(values: Poly, bits: int) -> bytes:
    return sum(value << bits * i for i, value in enumerate(values)).to_bytes(32 * bits, "little")


def unpack(data: bytes, bits: int) -> Poly:
    number = int.from_bytes(data, "little")
    return [number >> bits * i & (1 << bits) - 1 for i in range(256)]


def sample_ntt(seed: bytes) -> Poly:
    """7."""
    stream, out = hashlib.shake_128(seed).digest(168 * 8), Poly()
    for at in range(0, len(stream), 3):
        a, b, c = stream[at : at + 3]
        out += [each for each in (a + 256 * (b % 16), b // 16 + 16 * c) if each < Q]
    assert len(out) >= 256
    return out[:256]


def sample_cbd2(data: bytes) -> Poly:
    """8, with eta 2."""
    halves = [(each >> shift & 1) + (each >> shift + 1 & 1) for each in data for shift in (0, 2, 4, 6)]
    return [(halves[2 * i] - halves[2 * i + 1]) % Q for i in range(256)]


def bit_reversed(value: int) -> int:
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reversed(i) + 1, Q) for i in range(128)]


def ntt(f: Poly) -> Poly:
    """9."""
    f, k, size = list(f), 1, 128
    while size >= 2:
        for start in range(0, 256, 2 * size):
            for j in range(start, start + size):
                t = ZETAS[k] * f[j + size] % Q
                f[j], f[j + size] = (f[j] + t) % Q, (f[j] - t) % Q
            k += 1
        size //= 2
    return f


def inverse_ntt(f: Poly) -> Poly:
    """10."""
    f, k, size = list(f), 127, 2
    while size <= 128:
        for start in range(0, 256, 2 * size):
            for j in range(start, start + size):
                t = f[j]
                f[j], f[j + size] = (t + f[j + size]) % Q, ZETAS[k] * (f[j + size] - t) % Q
            k -= 1
        size *= 2
    return [each * 3303 % Q for each in f]


def multiply(f: Poly, g: Poly) -> Poly:
    """11 and 12."""
    out = Poly()
    for i in range(128):
        (a0, a1), (b0, b1) = f[2 * i : 2 * i + 2], g[2 * i : 2 * i + 2]
        out += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def add(f: Poly, g: Poly) -> Poly:
    return [(a + b) % Q for a, b in zip(f, g, strict=True)]


def total(polys: list[Poly]) -> Poly:
    return [sum(each) % Q for each in zip(*polys, strict=True)]
