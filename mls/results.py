"""What the verbs of `Group` and the ways into a group give back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mls.checked_commit import PublicStaged
from mls.key_packages import KeyPackageBundle
from mls.tree.nodes import LeafNode

if TYPE_CHECKING:
    from mls.group import Group


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the present epoch."""

    leaf_index: int
    identity: bytes
    signature_key: bytes
    leaf: LeafNode


@dataclass(frozen=True, slots=True)
class OwnCommit:
    """A commit of ours, sent and adopted only when it is known to have won (V163, V165).

    `present` is the epoch it was made in; it differs from before only when messages of this epoch were PrivateMessages,
    which use up keys: keep it before the message leaves. Keep `successor` too: nobody can process their own commit.
    """

    message: bytes
    welcomes: tuple[bytes, ...]  # one for all newcomers, or where asked for one for each, in the order of summary.adds
    successor: "Group"
    present: "Group"
    summary: PublicStaged

    @property
    def welcome(self) -> bytes | None:
        """The one for all newcomers; None when nobody is added."""
        return self.welcomes[0] if self.welcomes else None


@dataclass(frozen=True, slots=True)
class Staged:
    """A received commit that passed every check. `successor` is None exactly when it removes us (V169)."""

    successor: "Group | None"
    summary: PublicStaged
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """A group entered by Welcome: who signed its GroupInfo, and the bundle it used up (delete it, V091)."""

    group: "Group"
    signer_leaf: int
    bundle: KeyPackageBundle


@dataclass(frozen=True, slots=True)
class ExternalJoin:
    """An external Commit of ours: send `message`, and be in `group` once it is known to have won (V163)."""

    message: bytes
    group: "Group"
    summary: PublicStaged
