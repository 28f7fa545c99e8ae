"""What a message says about itself to anyone: enough to file it, nothing that has been verified."""

from dataclasses import dataclass

from mls import transcript
from mls.crypto import is_supported, suite
from mls.errors import InvalidError
from mls.framing import MLSMessage, PrivateMessage, PublicMessage, Sender
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackage
from mls.proposals import Commit, Proposal, Remove
from mls.registry import ContentType, ProposalType, SenderType, WireFormat
from mls.tree.nodes import LeafNode
from mls.welcome import Welcome


@dataclass(frozen=True, slots=True)
class Peek:
    """The readable outside of a message. None is what its wire format hides or does not have."""

    wire_format: WireFormat
    group_id: bytes | None = None
    epoch: int | None = None
    content_type: ContentType | None = None
    sender: Sender | None = None
    authenticated_data: bytes | None = None


def peek(message: bytes) -> Peek:
    """Raises MalformedError. Nothing in the answer is verified: who acts on it does so before any signature check."""
    decoded = MLSMessage.decode(message)
    match decoded.body:
        case PublicMessage(content=content):
            return Peek(
                decoded.wire_format,
                content.group_id,
                content.epoch,
                content.content_type,
                content.sender,
                content.authenticated_data,
            )
        case PrivateMessage() as private:
            return Peek(
                decoded.wire_format,
                private.group_id,
                private.epoch,
                private.content_type,
                None,
                private.authenticated_data,
            )
        case GroupInfo(group_context=context):
            return Peek(decoded.wire_format, context.group_id, context.epoch)
        case _:
            return Peek(decoded.wire_format)


@dataclass(frozen=True, slots=True)
class Joiner:
    """Who commits itself into a group."""

    leaf: LeafNode  # the one it wants
    replaces: int | None  # the leaf that it says was its own


def external_joiner(commit: bytes) -> Joiner | None:
    """The newcomer of an external Commit in a PublicMessage; None where it is a member's. Nothing is verified.

    Raises MalformedError; InvalidError for what is no public Commit, or is an external one without a path.
    """
    body = MLSMessage.decode(commit).body
    content = body.content.content if isinstance(body, PublicMessage) else None
    if not isinstance(body, PublicMessage) or not isinstance(content, Commit):
        raise InvalidError("V034", "a message that is no public Commit")
    if body.content.sender.sender_type is not SenderType.NEW_MEMBER_COMMIT:
        return None
    if content.path is None:
        raise InvalidError("V150", "an external Commit without a path")
    listed = (each.body for each in content.proposals)
    removed = (each.body.removed for each in listed if isinstance(each, Proposal) and isinstance(each.body, Remove))
    return Joiner(content.path.leaf_node, next(removed, None))


def removal_count(commit: bytes) -> int:
    """How many Remove proposals a Commit in a PublicMessage carries by value. Raises MalformedError or InvalidError."""
    body = MLSMessage.decode(commit).body
    content = body.content.content if isinstance(body, PublicMessage) else None
    if not isinstance(content, Commit):
        raise InvalidError("V034", "a message that is no public Commit")
    listed = (each.body for each in content.proposals)
    return sum(isinstance(each, Proposal) and each.proposal_type is ProposalType.REMOVE for each in listed)


def path_leaf(commit: bytes) -> tuple[int, LeafNode] | None:
    """Where a member's Commit in a PublicMessage puts which leaf of its own; None without a path, or from outside.

    Raises MalformedError or InvalidError.
    """
    body = MLSMessage.decode(commit).body
    content = body.content.content if isinstance(body, PublicMessage) else None
    if not isinstance(body, PublicMessage) or not isinstance(content, Commit):
        raise InvalidError("V034", "a message that is no public Commit")
    sender = body.content.sender
    if content.path is None or sender.leaf_index is None:
        return None
    return int(sender.leaf_index), content.path.leaf_node


def welcome_references(welcome: bytes) -> tuple[bytes, ...]:
    """The KeyPackageRefs a Welcome is for. Raises MalformedError; InvalidError when it is another message."""
    return tuple(each.new_member for each in decode_welcome(welcome).secrets)


def key_package_reference(key_package: bytes) -> bytes:
    """The KeyPackageRef of a KeyPackage in an MLSMessage. Raises as `decode_key_package`."""
    return decode_key_package(key_package).reference


def confirmed_transcript_hash(suite_id: int, interim_before: bytes, commit_message: bytes) -> bytes:
    """The confirmed transcript hash after a Commit that went as a PublicMessage, from the interim one before (§8.2).

    For a joiner who checks that a Commit it was shown leads to the epoch it joined. Raises MalformedError or
    InvalidError.
    """
    body = MLSMessage.decode(commit_message).body
    if not isinstance(body, PublicMessage) or body.content.content_type is not ContentType.COMMIT:
        raise InvalidError("V161", "no Commit in a PublicMessage")
    if not is_supported(suite_id):
        raise InvalidError("V190", f"cipher suite {suite_id:d}, which we do not have")
    return transcript.confirmed_transcript_hash(
        suite(suite_id),
        interim_before,
        WireFormat.MLS_PUBLIC_MESSAGE,
        body.content.encode(),
        body.auth.signature,
    )


def decode_welcome(message: bytes) -> Welcome:
    body = MLSMessage.decode(message).body
    if not isinstance(body, Welcome):
        raise InvalidError("V007", "a message that is no Welcome")
    return body


def decode_key_package(message: bytes) -> KeyPackage:
    """The KeyPackage in an MLSMessage; its rules are `check_key_package`'s. Raises MalformedError or InvalidError.

    Its version is its frame's: of another than ours neither would decode (V088).
    """
    decoded = MLSMessage.decode(message)
    if not isinstance(decoded.body, KeyPackage):
        raise InvalidError("V007", "a message that is no KeyPackage")
    return decoded.body
