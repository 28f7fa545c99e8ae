"""The operations that are measured, each made ready on a group of the size asked for."""

from functools import cached_property
from typing import Final

from benchmarks import floors
from benchmarks.measure import Operation
from benchmarks.world import NOW, World, add_everyone, dice, founder, founder_and_newcomers, full_world, package
from mls.config import GroupConfig
from mls.crypto import suite
from mls.entry import join
from mls.group import Group
from mls.key_packages import KeyPackageBundle
from mls.proposals import add, remove
from mls.results import OwnCommit
from mls.tree.math import common_ancestor, node_of_leaf
from mls.tree.ratchet import RatchetTree

OPERATIONS = (
    "create",
    "add_one",
    "add_all",
    "commit_full",
    "commit_addonly",
    "process",
    "join",
    "remove",
    "seal",
    "open",
    "encode_tree",
    "decode_tree",
    "snapshot",
)
COMPANIONS = ("add_all_one_thread", "join_one_thread", "process_addonly", "snapshot_parts")
"""Other sides of the same: with signature checks in one thread, and of the tree that adding everyone leaves."""

DEFAULTS: Final = GroupConfig()
ONE_THREAD: Final = GroupConfig(map_signatures=map)

TEXT = bytes(100)
MESSAGES = 20
"""Application messages in one round: the price of one is too near the clock's."""


class Scene:
    """A group of `n` members in which everybody has committed, another in which nobody has; made when needed."""

    def __init__(self, suite_id: int, n: int) -> None:
        self.suite_id, self.n, self.random = suite_id, n, dice(n)

    def operation(self, name: str) -> Operation:
        made: Operation = getattr(self, f"_{name}")()
        return made

    # --- groups ---

    @cached_property
    def world(self) -> World:
        return full_world(self.suite_id, self.n, self.random)

    @cached_property
    def committer(self) -> Group:
        return self.world.member(0)

    @cached_property
    def receiver(self) -> Group:
        """One that takes two nodes of the committer's path in a large tree: what a member takes on average."""
        return self.world.member(self.world.tree.leaf_count // 4)

    @cached_property
    def newcomer(self) -> KeyPackageBundle:
        return package(self.suite_id, self.n, self.random)

    @cached_property
    def addition(self) -> OwnCommit:
        return self.committer.commit(self.random, NOW, proposals=[add(self.newcomer.key_package)])

    @cached_property
    def newcomers(self) -> tuple[Group, list[KeyPackageBundle]]:
        return founder_and_newcomers(self.suite_id, self.n, self.random)

    @cached_property
    def added(self) -> tuple[bytes, bytes, Group]:
        """(commit, welcome, the founder's group) once everybody has been added."""
        return add_everyone(*self.newcomers, self.random)

    def _climbed(self, tree: RatchetTree, sender: int, leaf_index: int) -> int:
        """How many nodes of the sender's path a member takes."""
        meeting = common_ancestor(node_of_leaf(sender), node_of_leaf(leaf_index))
        indices = [step.node.index for step in tree.filtered_direct_path(sender)]
        return len(indices) - indices.index(meeting)

    # --- operations ---

    def _create(self) -> Operation:
        signer = suite(self.suite_id).generate_signature_key(self.random)
        size = len(founder(self.suite_id, signer, self.random).to_bytes())
        return Operation("create", lambda: founder(self.suite_id, signer, self.random), floors.create(), size)

    def _add_one(self) -> Operation:
        made, proposals = self.addition, [add(self.newcomer.key_package)]
        assert made.welcome is not None
        floor = floors.commit(made.message, added=1, welcome=made.welcome)
        size = len(made.message) + len(made.welcome)
        return Operation("add_one", lambda: self.committer.commit(self.random, NOW, proposals=proposals), floor, size)

    def _add_all(self, name: str = "add_all", config: GroupConfig = DEFAULTS) -> Operation:
        alone, bundles = self.newcomers
        message, welcome, _ = self.added
        alone = Group.from_bytes(alone.to_bytes(), config)
        floor = floors.commit(message, added=self.n - 1, welcome=welcome)
        return Operation(
            name,
            lambda: add_everyone(alone, bundles, self.random),
            floor,
            len(message) + len(welcome),
            threaded=config is DEFAULTS,
        )

    def _add_all_one_thread(self) -> Operation:
        return self._add_all("add_all_one_thread", ONE_THREAD)

    def _commit_full(self) -> Operation:
        message = self.committer.commit(self.random, NOW).message
        return Operation(
            "commit_full", lambda: self.committer.commit(self.random, NOW), floors.commit(message), len(message)
        )

    def _commit_addonly(self) -> Operation:
        group = self.added[2]
        message = group.commit(self.random, NOW).message
        return Operation("commit_addonly", lambda: group.commit(self.random, NOW), floors.commit(message), len(message))

    def _process(self) -> Operation:
        message = self.committer.commit(self.random, NOW).message
        floor = floors.process(message, self._climbed(self.world.tree, 0, self.receiver.own_leaf))
        return Operation("process", lambda: self.receiver.stage(message, now=NOW), floor, len(message))

    def _process_addonly(self) -> Operation:
        _, welcome, adder = self.added
        receiver = join(welcome, [self.newcomers[1][self.n // 4]], tree=None, now=NOW)
        message = adder.commit(self.random, NOW).message
        floor = floors.process(message, self._climbed(adder.public.tree, 0, receiver.own_leaf))
        return Operation("process_addonly", lambda: receiver.stage(message, now=NOW), floor, len(message))

    def _join(self, name: str = "join", config: GroupConfig = DEFAULTS) -> Operation:
        made = self.addition
        welcome, tree = made.welcome, made.successor.public.tree
        assert welcome is not None
        parents = sum(1 for node in tree.root.nodes() if node.height and node.content is not None)
        floor = floors.join(tree.member_count, parents, welcome, self._climbed(tree, 0, self.n))
        return Operation(
            name,
            lambda: join(welcome, [self.newcomer], tree=None, now=NOW, config=config),
            floor,
            len(welcome),
            threaded=config is DEFAULTS,
        )

    def _join_one_thread(self) -> Operation:
        return self._join("join_one_thread", ONE_THREAD)

    def _remove(self) -> Operation:
        proposals = [remove(self.receiver.own_leaf)]
        message = self.committer.commit(self.random, NOW, proposals=proposals).message
        return Operation(
            "remove",
            lambda: self.committer.commit(self.random, NOW, proposals=proposals),
            floors.commit(message),
            len(message),
        )

    def _seal(self) -> Operation:
        group, message = self.committer.seal(TEXT, self.random)  # the first opens the way to the sender's ratchet
        return Operation("seal", lambda: self._sealed(group), floors.seal(), len(message), MESSAGES)

    def _open(self) -> Operation:
        sender, first = self.committer.seal(TEXT, self.random)
        receiver, _ = self.receiver.open(first, NOW)
        messages = self._sealed(sender)

        def opened() -> None:
            group = receiver
            for message in messages:
                group, _ = group.open(message, NOW)

        return Operation("open", opened, floors.open(), len(first), MESSAGES)

    def _sealed(self, group: Group) -> list[bytes]:
        messages = []
        for _ in range(MESSAGES):
            group, message = group.seal(TEXT, self.random)
            messages.append(message)
        return messages

    def _encode_tree(self) -> Operation:
        tree = self.world.tree
        size = len(tree.encode())
        pieces = [node for node in tree.root.nodes() if node._encoding is not None]

        def encode() -> None:
            for node in pieces:
                node._encoding = None  # as if it had not been encoded before
            tree.encode()

        return Operation("encode_tree", encode, floors.nothing(), size)

    def _decode_tree(self) -> Operation:
        row, data = self.world.row, self.world.tree.encode()
        return Operation("decode_tree", lambda: RatchetTree.decode(row, data), floors.nothing(), len(data))

    def _talking(self) -> Group:
        """The receiver after a Commit and a message."""
        made = self.committer.commit(self.random, NOW)
        successor = self.receiver.stage(made.message, now=NOW).successor
        assert successor is not None
        return successor.open(made.successor.seal(TEXT, self.random)[1], NOW)[0]

    def _snapshot(self) -> Operation:
        group = self._talking()
        return Operation("snapshot", group.to_bytes, floors.nothing(), len(group.to_bytes()))

    def _snapshot_parts(self) -> Operation:
        group = self._talking()
        return Operation("snapshot_parts", group.to_parts, floors.nothing(), len(group.to_parts().present))
