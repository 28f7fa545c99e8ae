"""Joining by an external commit: which GroupInfos let a newcomer in, and what it finds inside (§12.4.3.2)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import external_join
from mls.credentials import basic
from mls.errors import InvalidError
from mls.extensions import RequiredCapabilities, required_capabilities_extension
from mls.framing import MLSMessage, frame
from mls.group import Group
from mls.group_info import GroupInfo, sign_group_info
from mls.registry import CipherSuiteId, ExtensionType
from mls.tree.nodes import Extension
from tests.mls.stranger import Stranger
from tests.mls.world import LIFETIME, NOW, POLICY, Client, Members

UNKNOWN = 0xF00F


class Door(Members):
    """Zoe holds a GroupInfo of Alice's, changed in one thing and signed again."""

    def __init__(self) -> None:
        super().__init__("alice", "bob", extensions=(Extension(ExtensionType(POLICY), b"rules"),))
        self.zoe = Stranger.named(self, "zoe")

    def info(self, edit: Callable[[GroupInfo], GroupInfo] = lambda info: info, *, resign: bool = True) -> bytes:
        body = MLSMessage.decode(self["alice"].group_info(external_pub=True)).body
        assert isinstance(body, GroupInfo)
        info, signer = edit(body), self["alice"].state.signer
        if not resign:
            return frame(info)
        signed = sign_group_info(
            self["alice"].suite, signer, info.group_context, info.extensions, info.confirmation_tag, info.signer
        )
        return frame(signed)

    def refused(self, rule: str, info: bytes, tree: bytes | None = None) -> None:
        leaf = self.zoe.leaf
        with pytest.raises(InvalidError) as wrong:
            external_join(info, self.zoe.signer, leaf.credential, leaf.capabilities, self.random, NOW, tree=tree)
        assert wrong.value.rule == rule, wrong.value


@pytest.fixture
def door() -> Door:
    return Door()


def without(extension_type: ExtensionType) -> Callable[[GroupInfo], GroupInfo]:
    return lambda info: replace(
        info, extensions=tuple(each for each in info.extensions if each.extension_type != extension_type)
    )


def with_context(**fields: object) -> Callable[[GroupInfo], GroupInfo]:
    return lambda info: replace(info, group_context=replace(info.group_context, **fields))  # type: ignore[arg-type]


def test_a_group_info_as_it_is_lets_a_newcomer_in(door: Door) -> None:
    """Otherwise the refusals below would prove nothing. V143: all start from the secret it brought."""
    leaf = door.zoe.leaf
    made = external_join(door.info(), door.zoe.signer, leaf.credential, leaf.capabilities, door.random, NOW)
    for name in ("alice", "bob"):
        staged = door[name].stage(made.message, now=NOW)
        assert staged.successor is not None
        assert staged.successor.epoch_authenticator == made.group.epoch_authenticator


def test_v189_nobody_joins_a_group_twice(door: Door) -> None:
    """But in its own place, having lost what it was there with."""
    known = {b"another", door["bob"].group_id}
    with pytest.raises(InvalidError) as wrong:
        door.zoe.joins(known_group_ids=known)
    assert wrong.value.rule == "V189"
    assert door.zoe.joins(known_group_ids={b"another"}).group.epoch == door["alice"].epoch + 1
    bob = Stranger.named(door, "bob")
    assert bob.joins(known_group_ids=known, replaces=door.leaf("bob")).summary.removes == (door.leaf("bob"),)


def test_v146_a_group_info_without_the_external_key(door: Door) -> None:
    door.refused("V146", door.info(without(ExtensionType.EXTERNAL_PUB)))


def test_v146_a_group_info_without_a_tree(door: Door) -> None:
    """Beside it will do."""
    bare = door.info(without(ExtensionType.RATCHET_TREE))
    door.refused("V192", bare)
    leaf = door.zoe.leaf
    tree = door["alice"].tree_bytes()
    assert external_join(bare, door.zoe.signer, leaf.credential, leaf.capabilities, door.random, NOW, tree=tree)


def test_v146_a_group_info_that_nobody_signed(door: Door) -> None:
    door.refused("V188", door.info(lambda info: replace(info, signature=bytes(64)), resign=False))


def test_v146_a_group_info_with_another_tree(door: Door) -> None:
    door.refused("V173", door.info(with_context(tree_hash=bytes(32))))


@pytest.mark.parametrize("suite_id", [0x0A0A, 0xF00D])
def test_v146_a_group_of_a_suite_that_we_do_not_have(door: Door, suite_id: int) -> None:
    door.refused("V190", door.info(with_context(cipher_suite=CipherSuiteId(suite_id))))


@pytest.mark.parametrize(
    "extension",
    [
        pytest.param(Extension(ExtensionType(UNKNOWN), b""), id="present"),
        pytest.param(
            required_capabilities_extension(RequiredCapabilities((UNKNOWN,), (), ())), id="required extension"
        ),
        pytest.param(required_capabilities_extension(RequiredCapabilities((), (UNKNOWN,), ())), id="required proposal"),
    ],
)
def test_v146_a_group_with_what_we_do_not_support(door: Door, extension: Extension) -> None:
    """Its founder does, and its GroupInfo is right."""
    founder = Client("founder", 1, door.random)
    able = replace(founder.capabilities, extensions=(UNKNOWN,), proposals=(UNKNOWN,))
    group = Group.create(
        1, b"another group", founder.signer, basic(b"founder"), able, (), (extension,), door.random, LIFETIME
    )
    door.refused("V146", group.group_info(external_pub=True))


def test_v146_v213_a_group_info_whose_external_key_is_none(door: Door) -> None:
    bad = Extension(ExtensionType.EXTERNAL_PUB, b"\x05short")

    def edit(info: GroupInfo) -> GroupInfo:
        bare = without(ExtensionType.EXTERNAL_PUB)(info)
        return replace(bare, extensions=(*bare.extensions, bad))

    door.refused("V213", door.info(edit))
