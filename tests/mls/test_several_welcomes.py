"""One commit, several Welcomes: one for all newcomers, or one for each (RFC 9420 §12.4.3.1)."""

import pytest

from mls.entry import join
from mls.errors import UnopenableError
from mls.peek import welcome_references
from mls.proposals import add
from tests.mls.world import NOW, Members


@pytest.mark.parametrize("path", [False, True])
def test_v201_a_welcome_for_every_newcomer_on_its_own(path: bool) -> None:
    """Together they cover all; each is for one, and says nothing of the others."""
    world = Members("alice", "bob")
    bundles = {name: world.client(name).package() for name in ("carol", "dave", "erin")}
    proposals = [add(each.key_package) for each in bundles.values()]
    made = world["alice"].commit(world.random, NOW, proposals=proposals, welcome_each=True, force_path=path)
    references = [welcome_references(each) for each in made.welcomes]
    assert references == [(each.reference,) for each in made.summary.adds]
    for bundle, welcome in zip(bundles.values(), made.welcomes, strict=True):
        joined = join(welcome, [bundle], tree=None, now=NOW)
        assert joined.epoch_authenticator == made.successor.epoch_authenticator
    with pytest.raises(UnopenableError):
        join(made.welcomes[0], [bundles["dave"]], tree=None, now=NOW)


def test_nobody_added_nobody_welcomed() -> None:
    world = Members("alice", "bob")
    made = world.commit("alice", welcome_each=True)
    assert (made.welcomes, made.welcome) == ((), None)
