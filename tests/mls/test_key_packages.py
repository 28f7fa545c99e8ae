"""KeyPackages: what ours say, and what is refused of others'."""

from dataclasses import replace

import pytest

from mls.capabilities import own_capabilities
from mls.crypto import suite, supported_suites
from mls.errors import InvalidError, MalformedError, MisuseError, MlsError
from mls.framing import MLSMessage, frame
from mls.key_packages import create_key_package
from mls.peek import decode_key_package, decode_welcome
from mls.registry import (
    DEFAULT_EXTENSION_TYPES,
    DEFAULT_PROPOSAL_TYPES,
    GREASE_VALUES,
    CipherSuiteId,
    ExtensionType,
    ProposalType,
)
from mls.tree.nodes import Capabilities, Extension
from mls.validation.key_packages import check_key_package
from tests.mls.world import LIFETIME, POLICY, VOTER, Client, Dice, Members


@pytest.fixture
def client() -> Client:
    return Client("alice", 1, Dice())


@pytest.mark.parametrize("suite_id", range(1, 8))
def test_a_key_package_of_ours_keeps_every_rule(suite_id: int) -> None:
    package = Client("alice", suite_id, Dice()).package().key_package
    check_key_package(suite(suite_id), decode_key_package(frame(package)))


def test_each_key_package_has_keys_of_its_own(client: Client) -> None:
    """V090, V086."""
    one, other = client.package().key_package, client.package().key_package
    keys = {one.init_key, one.leaf_node.encryption_key, other.init_key, other.leaf_node.encryption_key}
    assert len(keys) == 4


def test_v086_randomness_that_repeats_itself_makes_no_package(client: Client) -> None:
    with pytest.raises(MisuseError, match="V086"):
        create_key_package(1, b"alice", client.signer, LIFETIME, client.capabilities, (), (), bytes)


def test_our_capabilities_list_what_we_support_and_no_default(client: Client) -> None:
    """V219, V215: with a reserved value in each list that may have one."""
    capabilities = own_capabilities((POLICY, VOTER), Dice())
    assert set(range(1, 8)) < set(capabilities.cipher_suites)
    assert {POLICY, VOTER} < set(capabilities.extensions)
    assert not DEFAULT_EXTENSION_TYPES.intersection(capabilities.extensions)
    assert not DEFAULT_PROPOSAL_TYPES.intersection(capabilities.proposals)
    for values in (
        capabilities.cipher_suites,
        capabilities.extensions,
        capabilities.proposals,
        capabilities.credentials,
    ):
        assert GREASE_VALUES.intersection(values)
    assert not GREASE_VALUES.intersection(capabilities.versions)


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("V066", {"credentials": (2,)}),
        ("V068", {"extensions": (1,)}),
        ("V068", {"proposals": (3,)}),
        ("V069", {"cipher_suites": (2,)}),
        ("V069", {"versions": ()}),
    ],
)
def test_v066_v068_v069_we_do_not_make_a_package_that_says_less_than_it_uses(
    rule: str, changed: dict[str, tuple[int, ...]]
) -> None:
    client = Client("alice", 1, Dice())
    client.capabilities = replace(client.capabilities, **changed)
    with pytest.raises(MisuseError, match=rule):
        client.package()


def test_v089_our_packages_extensions_are_listed(client: Client) -> None:
    unlisted = (Extension(ExtensionType(0xF123), b""),)
    with pytest.raises(MisuseError, match="V089"):
        create_key_package(1, b"alice", client.signer, LIFETIME, client.capabilities, (), unlisted, Dice())


def test_v017_unknown_extensions_of_others_packages_are_ignored(client: Client) -> None:
    listed = own_capabilities((0xF123,))
    bundle = create_key_package(
        1, b"alice", client.signer, LIFETIME, listed, (), (Extension(ExtensionType(0xF123), b"?"),), Dice()
    )
    check_key_package(suite(1), bundle.key_package)


def test_v083_a_package_for_another_suite(client: Client) -> None:
    with pytest.raises(InvalidError) as wrong:
        check_key_package(suite(3), client.package().key_package)
    assert wrong.value.rule == "V083"


def test_a_package_for_a_suite_we_do_not_have_is_no_bug_of_ours(client: Client) -> None:
    package = replace(client.package().key_package, cipher_suite=CipherSuiteId(0xF00D))
    with pytest.raises(InvalidError) as wrong:
        _ = package.reference
    assert wrong.value.rule == "V083"


def test_another_message_is_no_key_package(client: Client) -> None:
    package = client.package().key_package
    data = frame(package)
    with pytest.raises(MalformedError):
        decode_key_package(data[:2] + b"\x00\x03" + data[4:])
    world = Members("alice")
    for decode in (decode_key_package, decode_welcome):
        with pytest.raises(InvalidError) as wrong:
            decode(world["alice"].group_info())
        assert wrong.value.rule == "V007"
    with pytest.raises(MalformedError, match="V005"):
        MLSMessage.decode(data + b"\x00")


def test_any_single_flipped_byte_of_a_package_is_refused(client: Client) -> None:
    data = frame(client.package().key_package)
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x01
        with pytest.raises(MlsError):
            check_key_package(suite(1), decode_key_package(bytes(broken)))


def test_capabilities_without_randomness_are_plain() -> None:
    assert own_capabilities() == Capabilities((1,), supported_suites(), (), (ProposalType.SELF_REMOVE,), (1,))
