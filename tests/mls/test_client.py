"""Clients: the defaults of the public API, and that nothing is lost by them."""

from collections.abc import Callable

import pytest

from mls.client import Client
from mls.config import GroupConfig
from mls.crypto import PROFILES, Profile
from mls.errors import InvalidError, MisuseError
from mls.padding import no_padding
from mls.proposals import add, remove
from mls.psks import external_psk
from mls.registry import GREASE_VALUES, CipherSuiteId
from mls.x509 import x509, x509_check
from tests.mls.crypto.authority import Authority
from tests.mls.world import NOW, POLICY, Dice


def test_clients_found_join_leave_and_come_back() -> None:
    alice_client, bob_client = Client.create(b"alice", Dice("alice")), Client.create(b"bob", Dice("bob"))
    alice, bundle = alice_client.create_group(NOW), bob_client.key_package(NOW)
    made = alice.commit(alice_client.random, NOW, proposals=[add(bundle.key_package)])
    assert made.welcome is not None
    bob = bob_client.join(made.welcome, [bundle], NOW)
    assert bob.epoch_authenticator == made.successor.epoch_authenticator
    assert len(bob.group_id) == 32

    alone = made.successor.commit(alice_client.random, NOW, proposals=[remove(bob.own_leaf)]).successor
    named = external_psk(b"a key")
    back = bob_client.external_join(alone.group_info(external_pub=True), NOW, inject=[named], psks={named: b"secret"})
    staged = alone.stage(back.message, now=NOW, psks={named: b"secret"}).successor
    assert staged is not None
    assert staged.epoch_authenticator == back.group.epoch_authenticator


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_new_clients_are_post_quantum_where_their_profile_has_the_hybrid_of_suite_1(profile: Profile) -> None:
    name = CipherSuiteId.MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519.name
    client = Client.create(b"alice", Dice(), profile=profile)
    assert client.suite.id == profile.post_quantum.get(name, 1)
    assert client.capabilities.cipher_suites[:-1] == profile.cipher_suites
    assert Client.create(b"alice", Dice(), profile=profile, suite_id=3).suite.id == 3


def test_a_clients_leaves_list_what_it_was_told_and_one_reserved_value() -> None:
    leaf = Client.create(b"alice", Dice(), extension_types=(POLICY,)).key_package(NOW).key_package.leaf_node
    assert POLICY in leaf.capabilities.extensions
    assert GREASE_VALUES.intersection(leaf.capabilities.extensions)
    assert leaf.lifetime is not None
    assert leaf.lifetime.not_before < NOW < leaf.lifetime.not_after
    assert Client.create(b"alice", Dice()).key_package(NOW, last_resort=True).key_package.is_last_resort


def test_a_clients_settings_go_where_it_goes() -> None:
    config = GroupConfig(padding=no_padding)
    client = Client.create(b"alice", Dice(), config=config)
    assert client.create_group(NOW, group_id=b"a group").state.config is config
    assert client.create_group(NOW, group_id=b"a group").group_id == b"a group"


def test_a_client_with_a_certificate_reads_certificates() -> None:
    root = Authority()
    config = GroupConfig(validate_credential=x509_check([root.der], NOW))
    alice, bob = (
        Client.create(x509([issued.der]), Dice(name), suite_id=1, signer=issued.signer(1), config=config)
        for name, issued in ((name, root.issue(name)) for name in ("alice", "bob"))
    )
    group = alice.create_group(NOW)
    assert group.commit(alice.random, NOW, proposals=[add(bob.key_package(NOW).key_package)]).welcome is not None
    bare = Client.create(b"carol", Dice(), suite_id=1).key_package(NOW).key_package
    with pytest.raises(InvalidError) as wrong:
        group.commit(alice.random, NOW, proposals=[add(bare)])
    assert wrong.value.rule == "V055"


def test_a_client_shows_no_secret() -> None:
    client = Client.create(b"alice", Dice())
    assert client.signer.to_bytes().hex() not in repr(client)
    assert repr(client.signer.to_bytes())[2:-1] not in repr(client)


def test_what_a_newcomer_gets_wrong_is_told_at_once() -> None:
    """Not at the first commit, nor when a group that went on is to be put away: then it would be too late."""
    alice_client, bob_client = (Client.create(name, Dice(name.decode()), suite_id=1) for name in (b"alice", b"bob"))
    alice, bundle, random = alice_client.create_group(NOW), bob_client.key_package(NOW), Dice()
    made = alice.commit(random, NOW, proposals=[add(bundle.key_package)])
    assert made.welcome is not None
    alice, bob, float_s = made.successor, bob_client.join(made.welcome, [bundle], NOW), float(NOW)
    after, words = alice.seal(b"words", random)
    following = after.commit(random, NOW).message
    wrong: dict[str, Callable[[], object]] = {
        "not of type str": lambda: Client.create("alice", Dice()),  # type: ignore[arg-type]
        "no cipher suite '1'": lambda: Client.create(b"alice", Dice(), suite_id="1"),  # type: ignore[arg-type]
        "no cipher suite 0x0063": lambda: Client.create(b"alice", Dice(), suite_id=99),
        "a KeyPackageBundle is not added": lambda: add(bundle),  # type: ignore[arg-type]
        "bytes, not str": lambda: alice.seal("words", random),  # type: ignore[arg-type]
    }
    late: list[Callable[[], object]] = [
        lambda: alice.commit(random, float_s),  # type: ignore[arg-type]
        lambda: bob.stage(following, now=float_s),  # type: ignore[arg-type]
        lambda: bob.open(words, float_s),  # type: ignore[arg-type]
    ]
    for told, action in [*wrong.items(), *(("an integer of unix seconds", each) for each in late)]:
        with pytest.raises(MisuseError, match=told):
            action()
    assert bob.open(words, NOW)[1].plaintext == b"words"
