"""What saves the long script its time: a process that plays forty members at once looks at each signature once.

A member checks every signature that reaches it, and in this script forty of them check the same 3,500: 155,000 checks
with one answer for the same bytes, whoever asks. So do checks of public keys. The members' own work (their trees, their
secrets, their transcripts) stays each member's own.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import pytest

from mls.crypto import CipherSuite

PURE = ("verify_with_label", "check_signature_public_key", "check_hpke_public_key")
"""Methods whose answer depends on nothing but the suite and the bytes. A refusal is not remembered, but made again."""


@contextmanager
def each_check_once() -> Iterator[None]:
    """Also without the cycle collector, a quarter of the time: frozen values make no cycles."""
    with pytest.MonkeyPatch.context() as patch:
        for name in PURE:
            patch.setattr(CipherSuite, name, lru_cache(maxsize=8192)(getattr(CipherSuite, name)))
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            gc.collect()
