"""A member that cannot open a Commit follows the epochs by their public messages, and commits itself in again."""

from dataclasses import replace

import pytest

from mls import external_join, external_joiner, vouched
from mls.errors import InvalidError, MisuseError, StaleEpochError, UnopenableError
from mls.framing import MLSMessage, frame
from mls.group import Group
from mls.group_info import GroupInfo
from mls.results import ExternalJoin
from mls.tree.kem import UpdatePath
from tests.mls.forge import Forger
from tests.mls.world import NOW, Dice, Members


class Split(Members):
    """Dave's Commit opens for all but Carol; the others go on, and she has what is public of it."""

    def __init__(self) -> None:
        super().__init__("alice", "bob", "carol", "dave")
        for name in ("alice", "bob", "carol", "dave"):  # so that the tree is full of keys
            self.adopt(name, self[name].commit(self.random, NOW))
        self.hostile = Forger(self["dave"], Dice("hostile")).commit(edit_path=spoilt_for_the_neighbour)
        self.early = self.say("alice", "before")
        self.lost = self["carol"]
        with pytest.raises(UnopenableError):
            self.lost.stage(self.hostile, now=NOW)
        self.followed = self.lost.public.check_commit(self.hostile).successor
        for name in ("alice", "bob"):
            staged = self[name].stage(self.hostile, now=NOW).successor
            assert staged is not None
            self.groups[name] = staged

    def say(self, name: str, text: str) -> bytes:
        self.groups[name], message = self[name].seal(text.encode(), self.random)
        return message

    def back(self) -> ExternalJoin:
        leaf = self.lost.state.own_leaf_node
        info = self["alice"].group_info(inline_tree=False, external_pub=True)
        return external_join(
            info,
            self.lost.state.signer,
            leaf.credential,
            leaf.capabilities,
            self.random,
            NOW,
            tree=self.followed.tree.encode(),
            leaf_extensions=leaf.extensions,
            replaces=self.lost.own_leaf,
        )


def spoilt_for_the_neighbour(path: UpdatePath) -> UpdatePath:
    """The lowest node's secret goes to Carol alone, the next to the other half."""
    first = replace(path.nodes[0], encrypted_path_secret=path.nodes[1].encrypted_path_secret)
    return replace(path, nodes=(first, *path.nodes[1:]))


@pytest.fixture
def split() -> Split:
    return Split()


def test_the_public_half_is_the_same_for_all(split: Split) -> None:
    """So who is cut off knows the tree, the members and the context of an epoch that it has no secret of."""
    assert split.followed == split["alice"].public == split["bob"].public


def test_who_comes_back_reads_what_it_could_read_before(split: Split) -> None:
    """Late messages of the last epoch it was in open; those of the epoch it was shut out of do not; new ones do."""
    meanwhile = split.say("alice", "meanwhile")
    made = split.back()
    for name in ("alice", "bob"):
        staged = split[name].stage(made.message, now=NOW).successor
        assert staged is not None
        split.groups[name] = staged
    carol = Group.from_bytes(made.group.resuming(split.lost, NOW).to_bytes())
    assert carol.epoch_authenticator == split["alice"].epoch_authenticator

    carol, opened = carol.open(split.early, NOW)
    assert (opened.plaintext, opened.sender_identity) == (b"before", b"alice")
    with pytest.raises(StaleEpochError):
        carol.open(meanwhile, NOW)
    carol, opened = carol.open(split.say("bob", "after"), NOW)
    assert opened.plaintext == b"after"
    assert carol.own_leaf == split.lost.own_leaf


def test_and_goes_on_from_there(split: Split) -> None:
    """The past with a gap in it outlives the next Commits and a snapshot."""
    made = split.back()
    carol = made.group.resuming(split.lost, NOW)
    alice = split["alice"].stage(made.message, now=NOW).successor
    assert alice is not None
    commit = alice.commit(split.random, NOW)
    after = carol.stage(commit.message, now=NOW).successor
    assert after is not None
    carol = Group.from_bytes(after.following(carol).to_bytes())
    assert carol.open(split.early, NOW)[1].plaintext == b"before"


def test_it_resumes_what_lies_behind_it_only(split: Split) -> None:
    made = split.back()
    with pytest.raises(MisuseError):
        made.group.resuming(made.group, NOW)


def test_who_commits_itself_in_is_told_before_anything_is_checked(split: Split) -> None:
    """The leaf it wants and the one it gives up; a member's own Commit has no such newcomer."""
    made = split.back()
    joiner = external_joiner(made.message)
    assert joiner is not None
    assert joiner.replaces == split.lost.own_leaf
    assert joiner.leaf.signature_key == split.lost.state.signer.public
    assert external_joiner(split.hostile) is None
    with pytest.raises(InvalidError):
        external_joiner(split.early)


def test_v188_a_group_info_is_held_against_the_epoch_one_follows(split: Split) -> None:
    """Only one of this very epoch and history, signed by a member of it, vouches for its external key."""
    message = split["bob"].group_info(inline_tree=False, external_pub=True)
    said = vouched(split.followed, message)
    assert said.signer == split["bob"].own_leaf
    assert said.external_pub is not None
    assert vouched(split.followed, split["alice"].group_info(external_pub=True)).external_pub == said.external_pub
    assert vouched(split.followed, split["alice"].group_info()).external_pub is None

    info = MLSMessage.decode(message).body
    assert isinstance(info, GroupInfo)
    rival = split["alice"].commit(split.random, NOW).successor
    wrong = [
        split.lost.group_info(external_pub=True),
        rival.group_info(external_pub=True),
        frame(replace(info, confirmation_tag=bytes(32))),
        frame(replace(info, signer=split["alice"].own_leaf)),
        frame(replace(info, signer=9)),
        split.hostile,
    ]
    for each in wrong:
        with pytest.raises(InvalidError) as refused:
            vouched(split.followed, each)
        assert refused.value.rule == "V188"
