"""Which number each cipher suite goes by: a profile.

The post-quantum suites of draft-ietf-mls-pq-ciphersuites-06 have no assigned code points yet, and every engine in the
field has chosen its own. A profile is one such choice, a value that is passed where suites are chosen or listed: what
`own_capabilities` advertises, what a group is created with. Nothing is switched on or off.

That works because a code point on the wire says all there is to say. No two profiles here use a number for different
suites, so the suite table holds them all at once, and a message is read by its number alone, whatever profile the
reader advertises. A number of a profile that we do not advertise cannot bind us to anything: others may only invite us
to suites that our KeyPackages and leaves list. (A test holds the profiles to being disjoint. When IANA assigns numbers
they go into RFC 9420's part of the table, and a profile that collides with them, `mlspp` first, has to go.)

- `openmls`: OpenMLS's newest, all eleven. The default.
- `wire`: Wire's core-crypto, all eleven. ts-mls uses some of these numbers for parameters of its own.
- `mlspp`: the three that MLSpp has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mls.errors import MisuseError
from mls.registry import RFC9420_CIPHER_SUITES, CipherSuiteId


@dataclass(frozen=True, slots=True)
class Profile:
    """RFC 9420's seven suites, and the post-quantum ones under the numbers of one family of engines."""

    name: str
    post_quantum: Mapping[str, CipherSuiteId]

    @property
    def cipher_suites(self) -> tuple[CipherSuiteId, ...]:
        """Every code point of the profile, in ascending order."""
        return tuple(sorted((*RFC9420_CIPHER_SUITES, *self.post_quantum.values())))

    def cipher_suite(self, name: str) -> CipherSuiteId:
        """The code point of a suite by its full name, in either case; raises MisuseError where there is none."""
        wanted = name.upper()
        for each in RFC9420_CIPHER_SUITES:
            if each.name == wanted:
                return each
        try:
            return self.post_quantum[wanted]
        except KeyError:
            raise MisuseError(f"profile {self.name} has no cipher suite {name}") from None


_POST_QUANTUM: tuple[tuple[CipherSuiteId, int, int | None], ...] = (
    (CipherSuiteId.MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519, 0xF001, None),
    (CipherSuiteId.MLS_128_MLKEM768X25519_AES256GCM_SHA384_ED25519, 0xF002, 0x0008),
    (CipherSuiteId.MLS_128_MLKEM768P256_AES128GCM_SHA256_P256, 0xF003, None),
    (CipherSuiteId.MLS_128_MLKEM768P256_AES256GCM_SHA384_P256, 0xF004, 0x0009),
    (CipherSuiteId.MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384, 0xF005, 0x000A),
    (CipherSuiteId.MLS_128_MLKEM768_AES256GCM_SHA384_ED25519, 0xF00A, None),
    (CipherSuiteId.MLS_128_MLKEM768_AES256GCM_SHA384_P256, 0xF006, None),
    (CipherSuiteId.MLS_192_MLKEM1024_AES256GCM_SHA384_P384, 0xF007, None),
    (CipherSuiteId.MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44, 0xF00B, None),
    (CipherSuiteId.MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65, 0xF008, None),
    (CipherSuiteId.MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87, 0xF009, None),
)
"""TBD1 to TBD11: OpenMLS's code point (which gives the name), Wire's, MLSpp's."""

OPENMLS = Profile("openmls", MappingProxyType({each.name: each for each, _, _ in _POST_QUANTUM}))
WIRE = Profile("wire", MappingProxyType({each.name: CipherSuiteId(wire) for each, wire, _ in _POST_QUANTUM}))
MLSPP = Profile(
    "mlspp",
    MappingProxyType({each.name: CipherSuiteId(mlspp) for each, _, mlspp in _POST_QUANTUM if mlspp is not None}),
)

PROFILES = MappingProxyType({each.name: each for each in (OPENMLS, WIRE, MLSPP)})
DEFAULT_PROFILE = OPENMLS
