"""Choosing what to commit: all that is right, of rivals one, and whatever came in, a Commit that everybody takes."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.errors import InvalidError, MisuseError
from mls.framing import Sender
from mls.group import Group
from mls.key_packages import KeyPackage
from mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    SelfRemove,
    Update,
    add,
    group_context_extensions,
    reinit,
    remove,
    self_remove,
)
from mls.psks import external_psk, psk_id
from mls.registry import CipherSuiteId, ExtensionType, SenderType, WireFormat
from mls.tree.nodes import Extension, Lifetime
from tests.mls.forge import Forger, resigned_package
from tests.mls.world import NOW, POLICY, Dice, Members

TERMS = ReInit(b"the next", 1, CipherSuiteId(2), ())


class Proposed(Members):
    """Alice is to choose among what the others have proposed."""

    def __init__(self, *names: str, config: GroupConfig | None = None) -> None:
        super().__init__("alice", "bob", "carol", "dave", *names, config=config)

    def by(self, name: str) -> Forger:
        return Forger(self[name], self.random)

    def update(self, name: str, wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE) -> bytes:
        self.groups[name], message = self[name].propose_update(self.random, wire_format=wire_format)
        return message

    def package(self, name: str) -> KeyPackage:
        return self.client(name).package().key_package

    def chosen(self, *messages: bytes) -> list[bytes]:
        """Commits them too; everybody who stays takes it."""
        chosen = self["alice"].choose(messages, NOW, psks=self.psks)
        self.commit("alice", references=chosen)
        assert self.agree()
        return list(chosen)


@pytest.fixture
def world() -> Proposed:
    return Proposed()


def test_v132_everything_that_can_be_done_together_is_done(world: Proposed) -> None:
    """In the order in which it came, in whatever wire format, and a copy once."""
    name = external_psk(b"a key")
    world.psks = {name: bytes(32)}
    messages = [
        world.by("bob").proposal(Add(world.package("erin"))),
        world.update("carol", WireFormat.MLS_PRIVATE_MESSAGE),
        world.by("bob").proposal(PreSharedKey(psk_id(name, bytes(32)))),
        world.by("bob").proposal(Remove(world.leaf("dave"))),
        world.by("bob").proposal(GroupContextExtensions((Extension(ExtensionType(POLICY), b"rules"),))),
        world.by("carol").proposal(Add(world.package("frank"))),
    ]
    assert world.chosen(*messages, messages[0]) == messages
    assert world["alice"].choose((), NOW) == ()


def test_v131_a_removal_rather_than_an_update(world: Proposed) -> None:
    update = world.update("carol")
    removal = world.by("bob").proposal(Remove(world.leaf("carol")))
    again = world.by("dave").proposal(Remove(world.leaf("carol")))
    assert world.chosen(update, removal, again) == [removal]


def test_v131_who_leaves_by_itself_is_removed_once(world: Proposed) -> None:
    update, leaving = world.update("carol"), world.by("carol").proposal(SelfRemove())
    removal = world.by("bob").proposal(Remove(world.leaf("carol")))
    assert world.chosen(update, removal, leaving) == [leaving]


def test_v131_the_newest_update(world: Proposed) -> None:
    first, second, other = world.update("carol"), world.update("carol"), world.update("dave")
    assert world.chosen(first, second, other) == [second, other]


def test_v131_anything_rather_than_a_reinit(world: Proposed) -> None:
    end, update = world.by("bob").proposal(TERMS), world.update("carol")
    assert world["alice"].choose((end, update), NOW) == (update,)
    other = world.by("carol").proposal(TERMS)
    assert world["alice"].choose((end, other), NOW) == (end,)
    assert world.chosen(end) == [end]
    with pytest.raises(MisuseError, match="V168"):
        world["alice"].choose((), NOW)


def test_of_two_lists_of_extensions_the_newest(world: Proposed) -> None:
    lists = [group_context_extensions((Extension(ExtensionType(POLICY), each),)) for each in (b"old", b"new")]
    old, new = (world["bob"].propose(each, world.random, NOW)[1] for each in lists)
    assert world.chosen(old, new) == [new]
    assert world["carol"].extensions[0].extension_data == b"new"


def test_one_add_of_a_client_and_none_of_a_member_that_stays(world: Proposed) -> None:
    once, twice = (world.by("bob").proposal(Add(world.package("erin"))) for _ in range(2))
    present, returning = (world.by("bob").proposal(Add(world.package(name))) for name in ("carol", "dave"))
    removal = world.by("bob").proposal(Remove(world.leaf("dave")))
    assert world.chosen(once, twice, present, returning, removal) == [once, returning, removal]


def test_one_use_of_a_key_and_only_of_one_at_hand(world: Proposed) -> None:
    here, elsewhere = external_psk(b"here"), external_psk(b"elsewhere")
    world.psks = {here: bytes(32)}
    uses = (psk_id(here, bytes(32)), psk_id(here, bytes(32)), psk_id(here, b"\1" * 32), psk_id(elsewhere, bytes(32)))
    first, copy, second, missing = (
        world.by(name).proposal(PreSharedKey(use))
        for name, use in zip(("bob", "carol", "bob", "bob"), uses, strict=True)
    )
    assert world.chosen(first, copy, second, missing) == [first, second]


def test_v117_v118_nothing_about_the_committers_own_leaf(world: Proposed) -> None:
    """InvalidError V117 and V118 are what a Commit of these would be refused with."""
    own, removal, other = world.update("alice"), world.by("bob").proposal(Remove(0)), world.update("bob")
    for message, rule in ((own, "V117"), (removal, "V118")):
        with pytest.raises(InvalidError, match=rule):
            world["alice"].commit(world.random, NOW, references=[message])
    assert world.chosen(own, removal, other) == [other]


def wrong_ones(world: Proposed) -> Sequence[bytes]:
    """Each wrong by itself."""
    stranger = Members("mallory", "bob", seed="elsewhere")
    right = world.by("bob").proposal(Remove(world.leaf("dave")))
    late = world.client("henry").package(lifetime=Lifetime(NOW - 7200, NOW - 3600)).key_package
    ivan = world.client("ivan")
    leaf = ivan.package().key_package.leaf_node
    silent = replace(leaf, capabilities=replace(leaf.capabilities, cipher_suites=(2,)))
    unheard_of = (Extension(ExtensionType(0xF123), b""),)
    return (
        b"no message",
        right[:-1] + bytes([right[-1] ^ 1]),
        Forger(stranger["mallory"], Dice("elsewhere")).proposal(Remove(1)),
        world["bob"].seal(b"words", world.random)[1],
        world["bob"].commit(world.random, NOW).message,
        world.by("bob").proposal(Remove(17)),
        world.by("bob").proposal(ExternalInit(bytes(32))),
        world.by("bob").proposal(Remove(world.leaf("dave")), Sender(SenderType.EXTERNAL, sender_index=0)),
        world.by("bob").proposal(Update(world["bob"].state.own_leaf_node)),
        world.by("bob").proposal(Add(late)),
        world.by("bob").proposal(Add(resigned_package(ivan, ivan.package().key_package, silent))),
        world.by("bob").proposal(GroupContextExtensions(unheard_of)),
    )


def test_nonsense_keeps_nothing_else_out(world: Proposed) -> None:
    """Not even what is right by itself and comes to nothing in this group, such as extensions that nobody knows."""
    update, adding = world.update("carol"), world.by("bob").proposal(Add(world.package("erin")))
    assert world.chosen(update, *wrong_ones(world), adding) == [update, adding]


def test_a_newcomer_who_does_not_fit_the_new_extensions_gives_way(world: Proposed) -> None:
    """Right by itself, as is the list of extensions: together they are not."""
    narrow = world.client("erin")
    known = (each for each in narrow.capabilities.extensions if each != POLICY)
    narrow.capabilities = replace(narrow.capabilities, extensions=tuple(known))
    adding = world["bob"].propose(add(world.package("erin")), world.random, NOW)[1]
    rules = world["bob"].propose(
        group_context_extensions((Extension(ExtensionType(POLICY), b"rules"),)), world.random, NOW
    )[1]
    wide = world["bob"].propose(add(world.package("frank")), world.random, NOW)[1]
    assert world["alice"].choose((adding, wide), NOW) == (adding, wide)
    assert world.chosen(adding, rules, wide) == [rules, wide]


def test_choosing_changes_nothing_and_reads_sealed_proposals(world: Proposed) -> None:
    sealed = [
        world["bob"].propose(each, world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)[1]
        for each in (remove(world.leaf("dave")), reinit(b"the next", 2))
    ]
    leaving = world["carol"].propose(self_remove(), world.random, NOW)[1]
    alice: Group = world["alice"]
    before = alice.to_bytes()
    assert alice.choose((*sealed, leaving), NOW) == (sealed[0], leaving)
    assert alice.to_bytes() == before
