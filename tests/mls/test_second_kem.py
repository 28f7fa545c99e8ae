"""The recipe of docs/mls.md for a secret from a KEM that no cipher suite has: its own functions, over every KEM here.

FrodoKEM and Classic McEliece run where liboqs is (`OQS_INSTALL_PATH` or the system's), built with them, and the wrapper
of the extra `pq` is importable. ML-KEM stands in everywhere.
"""

import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mls.crypto.liboqs import NOT_FOUND, decelerate, load
from mls.errors import UnopenableError
from mls.psks import external_psk
from mls.registry import CipherSuiteId
from tests.mls.world import NOW, Members
from tests.test_docs import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mls.md"
STAND_IN = "the stand-in"
KEMS = (STAND_IN, "FrodoKEM-640-AES", "FrodoKEM-640-SHAKE", "FrodoKEM-976-AES", "Classic-McEliece-348864")
HYBRID = int(CipherSuiteId.MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519)
PSK_ID = b"from elsewhere"


@pytest.fixture
def recipe() -> Iterator[dict[str, Any]]:
    """What the page's example defines; running it plays the example too."""
    (source,) = (each for each in blocks(PAGE, "python") if "def kem_called" in each)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wrapper may complain of a version one step away
        exec(compile(source, "docs/mls.md", "exec"), names)
    yield names
    decelerate()


def new_kem(recipe: dict[str, Any], name: str) -> Any:
    """One that the recipe finds, or a skip that says what is missing."""
    kem = recipe["kem_called"](name)
    if isinstance(kem, recipe["StandIn"]) and name != STAND_IN:
        if load(os.environ.get("OQS_INSTALL_PATH")) is None:
            pytest.skip(NOT_FOUND)
        if importlib.util.find_spec("oqs") is None:
            pytest.skip("liboqs-python is not installed (the extra `pq`)")
        pytest.skip(f"this liboqs was built without {name}")
    return kem


@pytest.mark.parametrize("name", KEMS)
def test_a_secret_from_another_kem_goes_into_the_epoch(recipe: dict[str, Any], name: str) -> None:
    """Public keys and what is wrapped travel as messages of the group; then one commit, which takes the secret."""
    world = Members("alice", "bob", "carol", suite_id=HYBRID)
    psk, kems, wrapped = bytes(range(32)), {}, {}
    for peer in ("bob", "carol"):
        kems[peer] = new_kem(recipe, name)
        public = sent(world, peer, "alice", kems[peer].generate_keypair())
        ciphertext, sealed = recipe["wrapped"](new_kem(recipe, name), public, psk, PSK_ID)
        wrapped[peer] = (sent(world, "alice", peer, ciphertext), sealed)

    proposal = world["alice"].pre_shared_key(external_psk(PSK_ID), world.random)
    made = world["alice"].commit(world.random, NOW, proposals=[proposal], psks={external_psk(PSK_ID): psk})

    for peer, kem in kems.items():
        with pytest.raises(UnopenableError) as wrong:
            world[peer].stage(made.message, now=NOW)
        assert wrong.value.rule == "V149"
        unwrapped = recipe["unwrapped"](kem, *wrapped[peer], PSK_ID)
        staged = world[peer].stage(made.message, now=NOW, psks={external_psk(PSK_ID): unwrapped})
        assert staged.successor is not None
        assert staged.successor.epoch_authenticator == made.successor.epoch_authenticator


def sent(world: Members, sender: str, reader: str, data: bytes) -> bytes:
    """Through the group, however long."""
    world.groups[sender], message = world[sender].seal(data, world.random)
    world.groups[reader], opened = world[reader].open(message, NOW)
    return opened.plaintext


@pytest.mark.parametrize("name", KEMS)
def test_what_is_wrapped_opens_for_one_peer_and_one_name(recipe: dict[str, Any], name: str) -> None:
    """A KEM refuses silently; the wrapping says so."""
    bob, carol = new_kem(recipe, name), new_kem(recipe, name)
    public, _ = bob.generate_keypair(), carol.generate_keypair()
    ciphertext, sealed = recipe["wrapped"](new_kem(recipe, name), public, b"secret", PSK_ID)
    damaged = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]

    assert recipe["unwrapped"](bob, ciphertext, sealed, PSK_ID) == b"secret"
    for kem, *offer in ((carol, ciphertext, PSK_ID), (bob, ciphertext, b"another name"), (bob, damaged, PSK_ID)):
        with pytest.raises(UnopenableError):
            recipe["unwrapped"](kem, offer[0], sealed, offer[1])


class Watched:
    """An importer that notes who asks for the wrapper."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "oqs":
            self.asked.append(name)
        return None


def test_without_the_c_library_the_wrapper_is_not_imported(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would download one and build it."""
    watched = Watched()
    monkeypatch.delitem(sys.modules, "oqs", raising=False)
    monkeypatch.setattr(sys, "meta_path", [watched, *sys.meta_path])
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    monkeypatch.setenv("OQS_INSTALL_PATH", str(tmp_path))

    assert isinstance(recipe["kem_called"]("FrodoKEM-640-AES"), recipe["StandIn"])
    assert watched.asked == []
