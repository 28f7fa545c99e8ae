"""The proposals of one Commit, each with its sender: by value from the committer, by reference from whoever sent it."""

from collections.abc import Sequence
from dataclasses import dataclass

from mls.errors import InvalidError, MlsError
from mls.framing import AuthenticatedContent, Sender
from mls.proposals import Commit, Proposal


@dataclass(frozen=True, slots=True)
class ListedProposal:
    """A proposal, and who is taken to have made it (V116). `reference` is None for one given by value."""

    proposal: Proposal
    sender: Sender
    reference: bytes | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What came beside a Commit as messages that it may refer to; their signatures are not yet checked."""

    contents: Sequence[AuthenticatedContent]
    unread: MlsError | None = None  # why the first of those that could not be read was not


def references_of(commit: Commit) -> frozenset[bytes]:
    return frozenset(each.body for each in commit.proposals if isinstance(each.body, bytes))


def resolve(commit: Commit, committer: Sender, received: Sequence[ListedProposal]) -> tuple[ListedProposal, ...]:
    """The Commit's list in its order. Raises V115 where a reference is to nothing in `received`."""
    by_reference = {each.reference: each for each in received}
    resolved = []
    for each in commit.proposals:
        if isinstance(each.body, Proposal):
            resolved.append(ListedProposal(each.body, committer))
            continue
        if each.body not in by_reference:
            raise InvalidError("V115", "a Commit that refers to a proposal we do not have")
        resolved.append(by_reference[each.body])
    return tuple(resolved)
