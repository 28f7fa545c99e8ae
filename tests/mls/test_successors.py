"""Groups that come out of groups, as they should: successors in any suite, branches beside a group that goes on."""

import pytest

from mls.entry import join
from mls.errors import MisuseError, MlsError, StaleEpochError
from mls.framing import MLSMessage
from mls.group import Group
from mls.key_packages import KeyPackageBundle
from mls.leaf_change import LeafChange
from mls.proposals import reinit, remove
from mls.psks import PreSharedKeyID, ResumptionPsk
from mls.registry import ExtensionType, ResumptionPSKUsage
from mls.results import OwnCommit
from mls.tree.nodes import Extension
from mls.welcome import WELCOME_LABEL, GroupSecrets, Welcome
from tests.mls.world import LIFETIME, NOW, POLICY, Client, Members

NEXT = b"the next group"
TERMS = (Extension(ExtensionType(POLICY), b"rules of the next group"),)
NAMES = ("alice", "bob", "carol")


def ended(group_id: bytes = NEXT, next_suite_id: int = 1) -> Members:
    """A group whose last commit was a ReInit; its clients have keys of the suite to come."""
    world = Members(*NAMES)
    world.clients = {name: Client(name, next_suite_id, world.random) for name in NAMES}
    world.commit("bob", proposals=[reinit(group_id, next_suite_id, TERMS)])
    return world


def bundles_of(world: Members, *names: str) -> dict[str, KeyPackageBundle]:
    return {name: world.clients[name].package() for name in names}


def successor(world: Members, welcomer: str, bundles: dict[str, KeyPackageBundle], **options: object) -> OwnCommit:
    """With a signer of the next suite."""
    given = [each.key_package for each in bundles.values()]
    change = LeafChange(signer=world.clients[welcomer].signer)
    options = {"lifetime": LIFETIME, "leaf": change} | options
    return world[welcomer].reinitialize(given, world.random, NOW, **options)  # type: ignore[arg-type]


def joins(world: Members, name: str, made: OwnCommit, bundle: KeyPackageBundle, **options: object) -> Group:
    options = {"tree": None, "now": NOW, "predecessor": world[name]} | options
    return join(made.welcome or b"", [bundle], **options)  # type: ignore[arg-type]


def named_psk(made: OwnCommit, bundle: KeyPackageBundle) -> PreSharedKeyID:
    """The one PSK that the Welcome tells this newcomer of."""
    welcome = MLSMessage.decode(made.welcome or b"").body
    assert isinstance(welcome, Welcome)
    (sealed,) = (each.encrypted_group_secrets for each in welcome.secrets if each.new_member == bundle.reference)
    context = welcome.encrypted_group_info
    secrets = GroupSecrets.decode(bundle.suite.decrypt_with_label(bundle.init_key, WELCOME_LABEL, context, sealed))
    (named,) = secrets.psks
    return named


@pytest.mark.parametrize("by_reference", [False, True])
@pytest.mark.parametrize("path", [False, True])
def test_a_reinit_ends_the_group_for_everyone(by_reference: bool, path: bool) -> None:
    world = Members(*NAMES)
    proposal, references = reinit(NEXT, 3, TERMS), []
    if by_reference:
        world.groups["carol"], message = world["carol"].propose(proposal, world.random, NOW)
        references.append(message)
    made = world.commit("bob", proposals=[] if by_reference else [proposal], references=references, force_path=path)
    assert made.summary.reinit == proposal.body
    assert world.agree()
    for group in world.groups.values():
        assert group.reinit == proposal.body
        assert group.public == made.summary.successor
        assert Group.from_bytes(group.to_bytes(), world.config).state == group.state


def test_late_messages_of_the_epoch_before_are_still_read() -> None:
    world = Members(*NAMES)
    world.groups["carol"], late = world["carol"].seal(b"a last word", world.random)
    world.commit("bob", proposals=[reinit(NEXT, 1)])
    _, opened = world["alice"].open(late, NOW)
    assert opened.plaintext == b"a last word"


@pytest.mark.parametrize("suite_id", [1, 2, 4])
@pytest.mark.parametrize("welcomer", ["alice", "carol"])
@pytest.mark.parametrize("path", [False, True])
def test_v225_any_member_makes_the_successor(suite_id: int, welcomer: str, path: bool) -> None:
    """With the same members, and a Welcome that names the old group's last resumption PSK."""
    world = ended(next_suite_id=suite_id)
    bundles = bundles_of(world, *(name for name in NAMES if name != welcomer))
    made = successor(world, welcomer, bundles, force_path=path, inline_tree=False)
    after = made.successor
    assert (after.group_id, after.suite.id, after.epoch, after.extensions) == (NEXT, suite_id, 1, TERMS)
    for name, bundle in bundles.items():
        psk = named_psk(made, bundle)
        assert psk.body == ResumptionPsk(ResumptionPSKUsage.REINIT, b"a group", world[name].epoch)
        assert len(psk.psk_nonce) == bundle.suite.hash_size
        group = joins(world, name, made, bundle, tree=after.tree_bytes())
        assert group.epoch_authenticator == after.epoch_authenticator
        assert sorted(each.identity for each in group.members()) == [b"alice", b"bob", b"carol"]


def test_a_successor_may_keep_the_groups_name() -> None:
    """A group of that name is known (V189), and this one comes in its place."""
    world = ended(b"a group")
    bundles = bundles_of(world, "bob", "carol")
    made = successor(world, "alice", bundles)
    assert joins(world, "bob", made, bundles["bob"], known_group_ids=[b"a group"]).epoch == 1
    with pytest.raises(MlsError):
        join(made.welcome or b"", [bundles["carol"]], tree=None, now=NOW, known_group_ids=[b"a group"])


def test_v225_one_member_does_not_come_twice() -> None:
    world = ended()
    twice = [world.clients[name].package().key_package for name in ("bob", "carol", "carol")]
    with pytest.raises(MisuseError, match="V225"):
        world["alice"].reinitialize(twice, world.random, NOW, lifetime=LIFETIME)


@pytest.mark.parametrize("path", [False, True])
def test_v229_a_branch_beside_a_group_that_goes_on(path: bool) -> None:
    world = Members(*NAMES, "dave")
    bundles = bundles_of(world, "bob", "carol")
    given = [each.key_package for each in bundles.values()]
    made = world["alice"].branch(
        given, world.random, NOW, lifetime=LIFETIME, extensions=TERMS, force_path=path, inline_tree=False
    )
    after = made.successor
    assert (after.suite.id, after.epoch, after.extensions, len(after.group_id)) == (1, 1, TERMS, 32)
    assert named_psk(made, bundles["bob"]).body == ResumptionPsk(
        ResumptionPSKUsage.BRANCH, b"a group", world["alice"].epoch
    )
    world.commit("dave")
    joined = joins(world, "bob", made, bundles["bob"], tree=after.tree_bytes())
    assert joined.epoch_authenticator == after.epoch_authenticator
    assert {each.identity for each in joined.members()} == {b"alice", b"bob", b"carol"}
    world.commit("carol")
    assert world.agree()


def test_v199_members_are_those_of_the_epoch_that_the_psk_names() -> None:
    """Carol has left since; that she was in is known as long as the epoch is remembered."""
    world = Members(*NAMES)
    bundles = bundles_of(world, "bob", "carol")
    given = [each.key_package for each in bundles.values()]
    made = world["alice"].branch(given, world.random, NOW, lifetime=LIFETIME)
    world.commit("alice", proposals=[remove(world.leaf("carol"))])
    assert joins(world, "bob", made, bundles["bob"]).epoch == 1
    with pytest.raises(StaleEpochError):
        world["bob"].state.leaves_in(99)
