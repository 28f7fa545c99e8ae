"""One key, one place: judged over all that a commit brings and all that stays (V123)."""

from dataclasses import replace

import pytest

from mls.proposals import Add, ProposalBody, Remove, Update
from mls.registry import LeafNodeSource
from mls.tree.kem import UpdatePath
from mls.tree.nodes import LeafNode
from tests.mls.forge import Forger, refused, resigned_package
from tests.mls.world import NOW, Members


class Table(Members):
    """Alice breaks rules, Bob judges; Carol and Dave send Updates."""

    def __init__(self) -> None:
        super().__init__("alice", "bob", "carol", "dave")
        self.alice = Forger(self["alice"], self.random)

    def refuses(self, rule: str, message: bytes, *proposals: bytes) -> None:
        refused(self["bob"], rule, message, proposals)

    def update(self, name: str, **fields: bytes) -> bytes:
        """An Update of that member, with some fields of its leaf as given."""
        group = self[name]
        key = group.suite.generate_hpke_key(self.random)
        leaf = replace(
            group.state.own_leaf_node,
            encryption_key=key.public,
            leaf_node_source=LeafNodeSource.UPDATE,
            lifetime=None,
            parent_hash=None,
        )
        forger = Forger(group, self.random)
        return forger.proposal(Update(forger.resigned(replace(leaf, **fields))))  # type: ignore[arg-type]

    def added(self, name: str, **fields: bytes) -> Add:
        client = self.client(name)
        package = client.package().key_package
        return Add(resigned_package(client, package, replace(package.leaf_node, **fields)))  # type: ignore[arg-type]


@pytest.fixture
def table() -> Table:
    return Table()


def test_v123_two_updates_to_one_encryption_key(table: Table) -> None:
    key = table["bob"].suite.generate_hpke_key(table.random).public
    updates = (table.update("carol", encryption_key=key), table.update("dave", encryption_key=key))
    table.refuses("V079", table.alice.commit(references=updates), *updates)


def test_v123_an_add_and_an_update_with_one_encryption_key(table: Table) -> None:
    key = table["bob"].suite.generate_hpke_key(table.random).public
    update = table.update("carol", encryption_key=key)
    add = table.added("erin", encryption_key=key)
    table.refuses("V079", table.alice.commit(add, references=[update]), update)


def test_v123_an_update_that_takes_the_key_another_gives_up(table: Table) -> None:
    """Judged on the tree as it will be: a key that leaves it in the same list is free."""
    former = table["dave"].state.own_leaf_node.encryption_key
    updates = (table.update("carol", encryption_key=former), table.update("dave"))
    assert table["bob"].public.check_commit(table.alice.commit(references=updates), updates).updates == (2, 3)
    table.refuses("V079", table.alice.commit(references=updates[:1]), updates[0])


def test_v123_a_newcomer_with_the_signature_key_of_one_who_is_removed(table: Table) -> None:
    """The same client comes back, in one list."""
    bodies: list[ProposalBody] = [Remove(table.leaf("dave")), Add(table.client("dave").package().key_package)]
    assert table["bob"].stage(table.alice.commit(*bodies), now=NOW).successor is not None


def test_v123_a_path_leaf_with_the_encryption_key_of_a_newcomer(table: Table) -> None:
    """V152: the path comes last, and finds the key in the tree."""
    add = table.added("erin")
    taken = add.key_package.leaf_node.encryption_key

    def edit(path: UpdatePath) -> UpdatePath:
        leaf: LeafNode = table.alice.resigned(replace(path.leaf_node, encryption_key=taken))
        return replace(path, leaf_node=leaf)

    table.refuses("V152", table.alice.commit(add, edit_path=edit))


def test_v123_a_path_leaf_with_the_signature_key_of_a_newcomer(table: Table) -> None:
    erin = table.client("erin")
    message = table.alice.commit(
        table.added("erin"),
        edit_leaf=lambda leaf: replace(leaf, signature_key=erin.signer.public),
        leaf_signer=erin.signer,
    )
    table.refuses("V078", message)
