"""Signatures and ciphertexts are good for one purpose: each kind refused when it was made for another (V211, V212)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls.authentication import to_be_signed
from mls.crypto import SignaturePrivateKey
from mls.entry import join
from mls.errors import InvalidError, UnopenableError
from mls.framing import AuthenticatedContent
from mls.key_packages import KeyPackage
from mls.peek import confirmed_transcript_hash
from mls.proposals import Add, Remove, Update, add
from mls.public_group import public_content
from mls.registry import LeafNodeSource
from mls.tree.nodes import LeafNode
from tests.mls.forge import Forger, refused
from tests.mls.world import NOW, Members

LABELS = ("FramedContentTBS", "LeafNodeTBS", "KeyPackageTBS", "GroupInfoTBS")


@pytest.fixture(scope="module")
def world() -> Members:
    return Members("alice", "bob", "carol")


def others(label: str) -> tuple[str, ...]:
    return tuple(each for each in LABELS if each != label)


def content_signed(forger: Forger, signature_of: Callable[[bytes], bytes]) -> bytes:
    """A commit of the forger's whose signature is made in some way."""

    def edit(signed: AuthenticatedContent) -> AuthenticatedContent:
        content = to_be_signed(signed.wire_format, signed.content, forger.group.context.encode())
        return replace(signed, auth=replace(signed.auth, signature=signature_of(content)))

    return forger.commit(edit_signed=edit)


def test_v211_content_signed_as_something_else(world: Members) -> None:
    alice, group = Forger(world["alice"], world.random), world["alice"]
    for label in others("FramedContentTBS"):
        message = content_signed(alice, lambda tbs, label=label: group.sign(label, tbs))  # type: ignore[misc]
        refused(world["bob"], "V028", message)
    right = content_signed(alice, lambda tbs: group.sign("FramedContentTBS", tbs))
    assert world["bob"].stage(right, now=NOW).successor is not None


def test_v211_a_key_package_or_its_leaf_signed_as_something_else(world: Members) -> None:
    alice, dave = Forger(world["alice"], world.random), world.client("dave")
    package = dave.package().key_package

    def signed(label: str, content: bytes, key: SignaturePrivateKey = dave.signer) -> bytes:
        return world["alice"].suite.sign_with_label(key, label, content)

    def repackaged(leaf: LeafNode, label: str = "KeyPackageTBS") -> KeyPackage:
        changed = replace(package, leaf_node=leaf)
        return replace(changed, signature=signed(label, changed.to_be_signed()))

    for label in others("KeyPackageTBS"):
        refused(world["bob"], "V085", alice.commit(Add(repackaged(package.leaf_node, label))))
    for label in others("LeafNodeTBS"):
        leaf = replace(package.leaf_node, signature=signed(label, package.leaf_node.to_be_signed(b"", 0)))
        refused(world["bob"], "V062", alice.commit(Add(repackaged(leaf))))


@pytest.mark.parametrize("wrong", [lambda right: right + b"\x00", lambda right: right[:-1], lambda _: b""])
def test_v015_content_with_a_signature_of_another_length(world: Members, wrong: Callable[[bytes], bytes]) -> None:
    alice, group = Forger(world["alice"], world.random), world["alice"]
    message = content_signed(alice, lambda tbs: wrong(group.sign("FramedContentTBS", tbs)))
    refused(world["bob"], "V028", message)


def test_v015_v096_an_update_whose_leaf_has_a_signature_of_another_form() -> None:
    """ECDSA's is DER: the two numbers put side by side are none, though they are the right numbers."""
    world = Members("alice", "bob", "carol", suite_id=2)
    group = world["bob"]
    key = group.suite.generate_hpke_key(world.random)
    leaf = replace(
        group.state.own_leaf_node,
        encryption_key=key.public,
        leaf_node_source=LeafNodeSource.UPDATE,
        lifetime=None,
    )
    right = Forger(group, world.random).resigned(leaf)
    raw = b"".join(number.rjust(32, b"\x00")[-32:] for number in der_numbers(right.signature))
    update = Forger(group, world.random).proposal(Update(replace(right, signature=raw)))
    carol = Forger(world["carol"], world.random)
    refused(world["alice"], "V062", carol.commit(references=[update]), [update])


def der_numbers(signature: bytes) -> tuple[bytes, bytes]:
    """r and s of a short DER sequence of two integers."""
    size = signature[3]
    return signature[4 : 4 + size], signature[6 + size :]


def test_v212_path_secrets_sealed_as_a_welcome(world: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody can see the path, nobody can open it."""
    with monkeypatch.context() as patched:
        patched.setattr("mls.tree.kem.PATH_LABEL", "Welcome")
        message = Forger(world["alice"], world.random).commit()
    before = world["bob"].to_bytes()
    assert world["bob"].public.check_commit(message).has_path
    with pytest.raises(UnopenableError) as wrong:
        world["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V157"
    assert world["bob"].to_bytes() == before


def test_v212_group_secrets_sealed_as_a_path_secret(world: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = world.client("erin").package()
    with monkeypatch.context() as patched:
        patched.setattr("mls.welcome.WELCOME_LABEL", "UpdatePathNode")
        made = world.commit("alice", adopt=False, proposals=[add(bundle.key_package)])
    assert made.welcome is not None
    with pytest.raises(InvalidError) as wrong:
        join(made.welcome, [bundle], tree=None, now=NOW)
    assert wrong.value.rule == "V184"


def test_v158_path_secrets_sealed_under_the_present_context(world: Members) -> None:
    """It is the next epoch's that counts, as far as it is known by then."""
    alice = Forger(world["alice"], world.random)
    message = alice.commit(seal_under=world["alice"].context.encode())
    with pytest.raises(UnopenableError) as wrong:
        world["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V157"
    assert world["bob"].stage(alice.commit(), now=NOW).successor is not None


def test_v159_a_commit_without_a_path_that_brings_a_secret_all_the_same(world: Members) -> None:
    """Its confirmation tag is right for whoever knows that secret, and nobody does."""
    alice, package = Forger(world["alice"], world.random), world.client("dave").package().key_package
    message = alice.commit(Add(package), path=False, commit_secret=b"\x01" * 32)
    before = world["bob"].to_bytes()
    with pytest.raises(UnopenableError) as wrong:
        world["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V031"
    assert world["bob"].to_bytes() == before
    right = alice.commit(Add(package), path=False, commit_secret=bytes(32))
    assert world["bob"].stage(right, now=NOW).successor is not None


def test_v161_a_tag_over_another_transcript(world: Members) -> None:
    """The hash covers the commit with its own signature: here another right one took its place."""
    alice, signatures = Forger(world["alice"], world.random), []

    def another(signed: AuthenticatedContent) -> AuthenticatedContent:
        signatures.append(signed.auth.signature)
        return replace(signed, auth=replace(signed.auth, signature=bytes(64)))

    made = public_content(alice.commit(edit_signed=another))
    message = alice.message(replace(made, auth=replace(made.auth, signature=signatures[0])))
    assert world["bob"].public.check_commit(message).has_path
    with pytest.raises(UnopenableError) as wrong:
        world["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V031"


def test_v161_only_a_public_commit_leads_from_one_transcript_to_the_next(world: Members) -> None:
    alice = Forger(world["alice"], world.random)
    for message in (alice.proposal(Remove(2)), world["alice"].seal(b"words", world.random)[1]):
        with pytest.raises(InvalidError) as wrong:
            confirmed_transcript_hash(1, bytes(32), message)
        assert wrong.value.rule == "V161"
    with pytest.raises(InvalidError) as wrong:
        confirmed_transcript_hash(0x0A0A, bytes(32), alice.commit())
    assert wrong.value.rule == "V190"
