"""The story of a run: what was asked of the nodes and done to them. The verdict holds their stores against it.

It is written into the run's folder before anything is judged, so a folder that was kept can be judged again.
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

STORY_NAME: Final = "story.json"

SETUP: Final = "setup"  # creating, adding, removing, opting in
QUIET: Final = "quiet"  # one at a time, nothing else going on
RIVALS: Final = "rivals"  # all nodes at once


class Actor(Struct, frozen=True):
    """One node of the run."""

    name: str
    peer_id: str
    folder: str  # in the run's folder


class Submitted(Struct, frozen=True):
    """A change that was asked for. Without an intent id the node was killed before it answered."""

    node: str
    kind: str
    phase: str
    intent_id: str = ""


class Sent(Struct, frozen=True):
    """A message a node has acknowledged: from then on it must not be lost.

    Its text is its name, no two are alike: right after a start a node acknowledges what it seals a moment later.
    """

    node: str
    phase: str
    text: str
    epoch: int


class Outage(Struct, frozen=True):
    """A time in which a node was down."""

    node: str
    how: str  # "killed" or "stopped"
    from_ms: int
    until_ms: int


class Awake(Struct, frozen=True):
    """A time in which a member's node ran."""

    node: str
    from_ms: int
    until_ms: int
    how: str  # it ended: "stopped" or "killed"


class Told(Struct, frozen=True):
    """What a node said at the end has become of the messages of its own."""

    messages: int
    stored_at: int  # mailboxes, the fewest of any of them
    delivered: int  # messages that every other member has, as it knows

    @property
    def is_all(self) -> bool:
        """Whether it knows that everybody has all of them."""
        return self.delivered == self.messages


class Held(Struct, frozen=True):
    """What the store of a removed member held of the group while it was removed."""

    is_removed: bool
    has_snapshot: bool
    successors: int  # own commits of it that could still be adopted
    key_epochs: tuple[int, ...]  # epochs whose gossip key it had
    message_epochs: tuple[int, ...]  # of messages in its feed, each epoch once


class Removal(Struct, frozen=True):
    """A member was away from the epoch its removal began up to, not including, the one its return began."""

    node: str
    removed_epoch: int
    returned_epoch: int
    held: Held
    refusal: str  # what the node answered when it was asked to send while removed; empty: it sent


class Story(Struct, frozen=True, kw_only=True):
    """Everything of one run."""

    seed: int
    rounds: int
    group_id: str
    actors: tuple[Actor, ...]
    committee_sizes: tuple[int, ...]  # as it should have grown
    submitted: tuple[Submitted, ...] = ()
    sent: tuple[Sent, ...] = ()
    outages: tuple[Outage, ...] = ()
    removals: tuple[Removal, ...] = ()
    exit_codes: dict[str, int | None] = {}  # by name, of the last stop
    errors: dict[str, str] = {}  # by name, the first error in the log of a node that logged one
    replicas: tuple[Actor, ...] = ()  # nodes that only keep things for the others
    awake: tuple[Awake, ...] = ()  # of each member, where the scenario says who sleeps
    commits_due: int = 0  # epochs there must have been at least
    messages_due: int = 0
    secrets: tuple[str, ...] = ()  # names that no replica may come to know
    read: dict[str, str] = {}  # by name: the digest of what `group read --shared` showed at the end
    told: dict[str, Told] = {}  # by name: what each knew of its own messages at the end
    failure: str = ""  # why the script did not get to its end

    @property
    def rivals_expected(self) -> int:
        """How many concurrent commits there must have been: every node's change in every round."""
        return len(self.actors) * self.rounds


def write_story(folder: Path, story: Story) -> None:
    """Put it into the run's folder."""
    (folder / STORY_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(story), indent=1))


def read_story(folder: Path) -> Story:
    """The story of a folder that was kept."""
    return msgspec.json.decode((folder / STORY_NAME).read_bytes(), type=Story)
