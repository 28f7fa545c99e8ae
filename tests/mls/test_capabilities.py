"""What our clients say of themselves, and what is made of what others say."""

from dataclasses import replace

import pytest

from mls.capabilities import best_suite, own_capabilities
from mls.credentials import SUPPORTED_CREDENTIAL_TYPES, basic
from mls.crypto import PROFILES, is_supported
from mls.errors import InvalidError, MisuseError
from mls.extensions import RequiredCapabilities, required_capabilities_extension
from mls.group import Group
from mls.proposals import BODIES, GroupContextExtensions, Proposal, ReInit, add, group_context_extensions
from mls.registry import GREASE_VALUES, CipherSuiteId, ExtensionType, ProtocolVersion
from mls.tree.nodes import Capabilities, Extension
from tests.mls.forge import Forger
from tests.mls.world import LIFETIME, NOW, POLICY, Client, Dice, Members

HYBRID = CipherSuiteId.MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519
GREASE = 0x2A2A


def listing(*suites: int, versions: tuple[int, ...] = (1,)) -> Capabilities:
    return Capabilities(versions, suites, (), (), (1,))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda each: each.name)
def test_v092_all_that_we_advertise_can_be_done(profile: object) -> None:
    """V219: and nothing is left out."""
    ours = own_capabilities((POLICY,), Dice(), profile)  # type: ignore[arg-type]
    advertised = {each for each in ours.cipher_suites if each not in GREASE_VALUES}
    assert all(is_supported(each) for each in advertised)
    assert advertised == set(profile.cipher_suites)  # type: ignore[attr-defined]
    assert set(ours.proposals) - GREASE_VALUES <= set(BODIES)
    assert set(BODIES) <= set(ours.proposals) | set(range(1, 8))
    assert set(ours.credentials) - GREASE_VALUES <= SUPPORTED_CREDENTIAL_TYPES
    assert ours.versions == (ProtocolVersion.MLS10,)


def test_v202_a_creator_takes_the_best_suite_that_all_support() -> None:
    everything = own_capabilities()
    assert best_suite([everything, everything]) == HYBRID
    assert best_suite([everything, listing(1, 2, HYBRID)]) == HYBRID
    assert best_suite([everything, listing(3, 2, 1)]) == 1
    assert best_suite([everything, listing(3, 2, 1)], (7, 3, 1)) == 3


def test_v202_members_who_share_no_suite_or_version_make_no_group() -> None:
    for others in (listing(0xF00D), listing(), listing(1, versions=(2,))):
        with pytest.raises(MisuseError, match="V202"):
            best_suite([own_capabilities(), others])


def test_v214_a_reserved_value_that_all_list_is_no_common_suite() -> None:
    with pytest.raises(MisuseError, match="V202"):
        best_suite([listing(GREASE), listing(GREASE)], (GREASE,))
    assert best_suite([listing(GREASE, 2), listing(GREASE, 2)], (GREASE, 2)) == 2


def test_v019_members_who_list_reserved_values_are_added_like_any_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """V016: in each of the five lists, the same value or another than ours; in one of them we would not (V113)."""
    monkeypatch.setattr("mls.key_packages.check_own_leaf", lambda *_: None)
    world = Members("alice", "bob")
    client = world.client("carol")
    lists = ("versions", "cipher_suites", "extensions", "proposals", "credentials")
    client.capabilities = replace(
        client.capabilities, **{each: (*getattr(client.capabilities, each), GREASE) for each in lists}
    )
    world.add("bob", "carol")
    assert world.agree()


def test_v019_a_reserved_extension_type_that_members_lack_is_refused_as_any_unknown_one() -> None:
    world = Members("alice", "bob")
    extensions = (Extension(ExtensionType(0x0A0A), b""),)
    message = Forger(world["alice"], world.random).commit(GroupContextExtensions(extensions))
    with pytest.raises(InvalidError) as wrong:
        world["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V107"


@pytest.mark.parametrize("place", ["type", "extensions", "proposals", "credentials"])
def test_v113_we_require_and_set_nothing_reserved(place: str) -> None:
    """V108: though every member may list the value, it is in no group context, and no ReInit's."""
    grease = next(value for value in own_capabilities((), Dice()).extensions if value in GREASE_VALUES)
    lists = {each: (grease,) if each == place else () for each in ("extensions", "proposals", "credentials")}
    required = required_capabilities_extension(RequiredCapabilities(*lists.values()))
    extension = Extension(ExtensionType(grease), b"") if place == "type" else required
    world = Members("alice", "bob")
    alice = world["alice"]
    reinit = Proposal.of(ReInit(b"the next group", ProtocolVersion.MLS10, CipherSuiteId(1), (extension,)))
    for proposal in (group_context_extensions((extension,)), reinit):
        with pytest.raises(MisuseError, match="V113"):
            alice.propose(proposal, world.random, NOW)
    with pytest.raises(MisuseError, match="V113"):
        alice.commit(world.random, NOW, proposals=[group_context_extensions((extension,))])
    creator = Client("erin", 1, Dice())
    creator.capabilities = own_capabilities((POLICY,), Dice())
    with pytest.raises(MisuseError, match="V113"):
        Group.create(1, b"g", creator.signer, basic(b"erin"), creator.capabilities, (), (extension,), Dice(), LIFETIME)


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param((Extension(ExtensionType.RATCHET_TREE, b"\x00"),), id="the tree"),
        pytest.param((Extension(ExtensionType.APPLICATION_ID, b"\x00"),), id="a leaf's"),
        pytest.param((Extension(ExtensionType(POLICY), b""),) * 2, id="twice"),
    ],
)
def test_v008_v010_our_group_infos_have_each_extension_once_and_none_out_of_place(
    extensions: tuple[Extension, ...],
) -> None:
    world = Members("alice")
    with pytest.raises(MisuseError, match="V008, V010"):
        world["alice"].group_info(extensions=extensions)
    package = world.client("bob").package().key_package
    with pytest.raises(MisuseError, match="V008, V010"):
        world["alice"].commit(world.random, NOW, proposals=[add(package)], group_info_extensions=extensions)
