"""Random lives of a group: whatever its members do in turn, they and any observer stay in one state."""

import random
from dataclasses import dataclass, field

import pytest

from mls.group import Group
from mls.key_packages import KeyPackageBundle
from mls.leaf_change import LeafChange
from mls.observe import observe
from mls.proposals import Proposal, add, group_context_extensions, pre_shared_key, remove, self_remove
from mls.psks import resumption_psk
from mls.public_group import PublicGroup
from mls.registry import ExtensionType, WireFormat
from mls.tree.nodes import Extension
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, POLICY, VOTER, Members

STEPS = 25
NAMES = [f"member {number}" for number in range(12)]
WIRE_FORMATS = (WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE)


@dataclass
class Walk:
    """Each step: some propose, one commits, all but it stage; then everyone is put away and taken out again."""

    seed: int
    suite_id: int
    dice: random.Random = field(init=False)
    world: Members = field(init=False)
    observer: PublicGroup = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.world = Members("member 0", "member 1", "member 2", suite_id=self.suite_id, seed=str(self.seed))
        self.observer = observe(self.world["member 0"].group_info())

    def step(self) -> None:
        world, dice = self.world, self.dice
        if dice.random() < 0.15:
            self.someone_lets_itself_in()
            return
        committer = dice.choice(sorted(world.groups))
        others = [name for name in sorted(world.groups) if name != committer]
        wire_format = dice.choice((*WIRE_FORMATS, WireFormat.MLS_PUBLIC_MESSAGE))
        busy: set[str] = set()  # whoever an Update or a Remove is about already (V119)
        references = []
        for name in dice.sample(others, min(len(others), dice.randrange(3))):
            busy.add(name)
            world.groups[name], message = world[name].propose_update(world.random, wire_format=wire_format)
            references.append(message)
        proposals, bundles = self.changes(others, busy)
        if proposals and others and dice.random() < 0.5:
            proposer = dice.choice(others)
            for proposal in proposals:
                world.groups[proposer], message = world[proposer].propose(
                    proposal, world.random, NOW, wire_format=wire_format
                )
                references.append(message)
            proposals = []
        leaf = None
        if dice.random() < 0.3:
            leaf = LeafChange(extensions=(Extension(ExtensionType(VOTER), dice.randbytes(4)),))
        if dice.random() < 0.1:
            leaf = LeafChange(signer=world[committer].suite.generate_signature_key(world.random))
        made = world[committer].commit(
            world.random,
            NOW,
            proposals=proposals,
            references=references,
            force_path=dice.random() < 0.7,
            wire_format=wire_format,
            leaf=leaf,
            inline_tree=dice.random() < 0.5,
        )
        world.groups[committer] = made.present
        world.adopt(committer, made, references)
        for name, bundle in bundles.items():
            assert made.welcome is not None
            world.join(name, made, bundle)
        if wire_format is WireFormat.MLS_PUBLIC_MESSAGE:
            self.observer = self.observer.check_commit(made.message, references).successor
        else:
            self.observer = observe(made.successor.group_info())

    def someone_lets_itself_in(self) -> None:
        """A newcomer, or a member that has lost everything; whoever asked to leave goes with that commit."""
        world, dice = self.world, self.dice
        name = dice.choice(NAMES)
        replaces = world.leaf(name) if name in world.groups else None
        rest = [each for each in sorted(world.groups) if each != name]
        references = []
        leaving = dice.choice(rest) if len(rest) > 3 and dice.random() < 0.5 else None
        if leaving is not None:
            world.groups[leaving], message = world[leaving].propose(self_remove(), world.random, NOW)
            references.append(message)
        joined = Stranger.named(world, name, rest[0]).joins(references=references, replaces=replaces)
        self.observer = self.observer.check_commit(joined.message, references).successor
        for other in sorted(world.groups):
            staged = world[other].stage(joined.message, proposals=references, now=NOW)
            if staged.successor is None:
                del world.groups[other]
            else:
                world.groups[other] = staged.successor
        world.groups[name] = joined.group
        world.clients.pop(name, None)  # its key is another now

    def changes(self, others: list[str], busy: set[str]) -> tuple[list[Proposal], dict[str, KeyPackageBundle]]:
        """Some removals, additions and other extensions that may stand in one list."""
        world, dice = self.world, self.dice
        gone = [name for name in others if name not in busy and len(world.groups) > 3 and dice.random() < 0.15]
        new = [name for name in NAMES if name not in world.groups and dice.random() < 0.15]
        bundles = {name: world.client(name).package() for name in new}
        proposals = [remove(world.leaf(name)) for name in gone]
        proposals += [add(bundle.key_package) for bundle in bundles.values()]
        if dice.random() < 0.2:
            now = resumption_psk(b"a group", world[others[0]].epoch) if others else None
            proposals += [pre_shared_key(self.suite_id, now, world.random)] if now and not new else []
        if dice.random() < 0.2:
            proposals.append(group_context_extensions((Extension(ExtensionType(POLICY), dice.randbytes(3)),)))
        return proposals, bundles

    def check(self) -> None:
        """One state, seen alike by all; every member's keys fit; everybody can be heard by everybody."""
        world = self.world
        assert world.agree()
        for name, group in world.groups.items():
            assert group.public == self.observer
            again = Group.from_bytes(group.to_bytes(), group.state.config)
            assert again.state == group.state
            world.groups[name] = again
            keys = {step.node.index for step in group.public.tree.direct_path(group.own_leaf)}
            assert set(group.state.keys.keys) <= keys | {2 * group.own_leaf}
        speaker = self.dice.choice(sorted(world.groups))
        world.groups[speaker], message = world[speaker].seal(b"still here", world.random)
        for name in world.groups:
            if name != speaker:
                world.groups[name], opened = world[name].open(message, NOW)
                assert opened.sender_identity == speaker.encode()


@pytest.mark.parametrize(("suite_id", "seed"), [(1, 1), (1, 2), (1, 3), (2, 4), (3, 5), (7, 6)])
def test_members_and_observers_stay_in_one_state(suite_id: int, seed: int) -> None:
    """Adds, removes, updates, policy changes, key changes, by value and by reference, public and private."""
    walk = Walk(seed, suite_id)
    for _ in range(STEPS):
        walk.step()
        walk.check()
    assert walk.observer.epoch == STEPS + 1
