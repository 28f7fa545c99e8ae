"""Rules for a handshake message as such (RFC 9420 §6, §12.1.8, §12.4.2): where it belongs, and who signed it."""

from mls.authentication import verifies
from mls.crypto import CipherSuite
from mls.errors import FutureHandshakeError, InvalidError, StaleHandshakeError
from mls.extensions import external_senders
from mls.framing import AuthenticatedContent, FramedContent
from mls.group_context import GroupContext
from mls.proposals import Add, Commit, Proposal, SelfRemove
from mls.registry import ContentType, SenderType, WireFormat
from mls.tree.ratchet import RatchetTree
from mls.validation.proposals import check_sender_may


def check_belongs(context: GroupContext, group_id: bytes, epoch: int) -> None:
    """A handshake message is for this group (V020) and for its present epoch.

    Raises StaleHandshakeError or FutureHandshakeError (V021).
    """
    if group_id != context.group_id:
        raise InvalidError("V020", "a message for another group")
    if epoch < context.epoch:
        raise StaleHandshakeError(epoch, context.epoch)
    if epoch > context.epoch:
        raise FutureHandshakeError(epoch, context.epoch)


def check_proposal_message(
    suite: CipherSuite, context: GroupContext, tree: RatchetTree, authenticated: AuthenticatedContent
) -> Proposal:
    """The proposal in a message of this epoch, its signature verified."""
    content = authenticated.content
    check_belongs(context, content.group_id, content.epoch)
    if not isinstance(content.content, Proposal):
        raise InvalidError("V093", "a message that is no proposal, given as one")
    if content.sender.sender_type is SenderType.NEW_MEMBER_COMMIT:
        raise InvalidError("V026", "an external joiner sends a Commit, not a proposal")
    check_sender_may(content.sender, content.content)
    if isinstance(content.content.body, SelfRemove) and authenticated.wire_format is WireFormat.MLS_PRIVATE_MESSAGE:
        raise InvalidError("V034", "a SelfRemove that an external joiner could not read")
    check_signature(suite, context, tree, authenticated)
    return content.content


def check_commit_message(
    suite: CipherSuite, context: GroupContext, tree: RatchetTree, authenticated: AuthenticatedContent
) -> Commit:
    """The Commit in a member's or newcomer's message of this epoch, its signature verified (V148)."""
    content = authenticated.content
    check_belongs(context, content.group_id, content.epoch)
    if not isinstance(content.content, Commit):
        raise InvalidError("V148", f"a message that is no Commit but {content.content_type.name.lower()}")
    match content.sender.sender_type:
        case SenderType.MEMBER:
            check_signature(suite, context, tree, authenticated)
        case SenderType.NEW_MEMBER_COMMIT:
            if content.content.path is None:
                raise InvalidError("V140", "an external Commit without a path")
            check_signature(suite, context, tree, authenticated)
        case SenderType.EXTERNAL:
            raise InvalidError("V025", "a Commit from an external sender")
        case SenderType.NEW_MEMBER_PROPOSAL:
            raise InvalidError("V027", "a Commit from a sender of proposals")
    return content.content


def check_signature(
    suite: CipherSuite, context: GroupContext, tree: RatchetTree, authenticated: AuthenticatedContent
) -> None:
    """The content is signed by the one it names as its sender (V023, V024, V026 to V028, V109, V142).

    Before anything of it is looked at, in either wire format (V029, V038, V043).
    """
    content = authenticated.content
    if content.sender.sender_type is not SenderType.MEMBER and (
        authenticated.wire_format is not WireFormat.MLS_PUBLIC_MESSAGE
    ):
        raise InvalidError("V033", "a sender from outside in a PrivateMessage")
    key = _signature_key(context, tree, content)
    if not verifies(suite, key, authenticated, context.encode()):
        by_joiner = content.sender.sender_type is SenderType.NEW_MEMBER_COMMIT
        raise InvalidError("V026" if by_joiner else "V028", "a signature that does not verify")


def _signature_key(context: GroupContext, tree: RatchetTree, content: FramedContent) -> bytes:
    sender = content.sender
    match sender.sender_type:
        case SenderType.MEMBER:
            assert sender.leaf_index is not None
            leaf = tree.leaf(sender.leaf_index)
            if leaf is None:
                raise InvalidError("V023", f"a message from leaf {sender.leaf_index}, which is blank")
            return leaf.signature_key
        case SenderType.EXTERNAL:
            assert sender.sender_index is not None
            senders = external_senders(context.extensions)
            if sender.sender_index >= len(senders):
                raise InvalidError("V024", f"no external sender {sender.sender_index}")
            return senders[sender.sender_index].signature_key
        case SenderType.NEW_MEMBER_COMMIT:
            commit = content.content
            if not isinstance(commit, Commit) or commit.path is None:
                raise InvalidError("V026", "a newcomer's message without a path")
            return commit.path.leaf_node.signature_key
        case SenderType.NEW_MEMBER_PROPOSAL:
            proposal = content.content
            if not isinstance(proposal, Proposal) or not isinstance(proposal.body, Add):
                raise InvalidError("V027", "a newcomer may propose nothing but its own Add")
            return proposal.body.key_package.leaf_node.signature_key


def check_not_application(content: FramedContent) -> None:
    if content.content_type is ContentType.APPLICATION:
        raise InvalidError("V032", "application data in a PublicMessage")
