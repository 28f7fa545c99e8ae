"""Handshake messages of a member: protected as the caller asks, and received with their protection taken off."""

from collections.abc import Sequence
from dataclasses import replace

from mls.application import bounds
from mls.crypto import Random, sha256
from mls.errors import DuplicateError, InvalidError, MisuseError, MlsError, OwnCommitError, UnopenableError
from mls.framing import AuthenticatedContent, MLSMessage, PrivateMessage, PublicMessage, frame
from mls.private_protection import open_private, seal_private
from mls.proposal_list import Given, ListedProposal
from mls.public_protection import check_membership_tag, protect
from mls.registry import ContentType, SenderType, WireFormat
from mls.state import GroupState
from mls.validation.messages import check_belongs, check_not_application


def protected(state: GroupState, authenticated: AuthenticatedContent, random: Random) -> tuple[GroupState, bytes]:
    """(state to keep before the message leaves, message), in the wire format that was signed."""
    if authenticated.wire_format is WireFormat.MLS_PUBLIC_MESSAGE:
        membership_key = state.secrets.membership_key
        return state, frame(protect(state.suite, authenticated, membership_key, state.public.context.encode()))
    if authenticated.wire_format is not WireFormat.MLS_PRIVATE_MESSAGE:
        raise MisuseError("a handshake message is a PublicMessage or a PrivateMessage")
    message, secret_tree = seal_private(
        state.suite,
        authenticated,
        state.secrets.sender_data_secret,
        state.secret_tree,
        random,
        state.config.padding,
    )
    return replace(state, secret_tree=secret_tree), frame(message)


def unprotected(state: GroupState, message: bytes) -> tuple[GroupState, AuthenticatedContent]:
    """(state that has used up the message's key, content). The signature is not yet checked.

    Raises MalformedError; InvalidError for V020, V021, V032, V034, V037, V039 to V041; UnopenableError for a message
    of our own.
    """
    decoded = MLSMessage.decode(message)
    if decoded.wire_format not in state.config.wire_formats and not _is_from_outside(decoded):
        raise InvalidError("V034", f"this group takes no {decoded.wire_format.name}")
    match decoded.body:
        case PublicMessage() as public:
            check_belongs(state.public.context, public.content.group_id, public.content.epoch)
            check_not_application(public.content)
            context = state.public.context.encode()
            check_membership_tag(state.suite, public, state.secrets.membership_key, context)
            return state, public.authenticated
        case PrivateMessage() as private:
            check_belongs(state.public.context, private.group_id, private.epoch)
            return _opened(state, private, message)
        case _:
            raise InvalidError("V034", f"no handshake message but a {decoded.wire_format.name}")


def _is_from_outside(message: MLSMessage) -> bool:
    """Who is no member can send nothing but PublicMessages, and it is `Policy` that has a say about that (V033)."""
    body = message.body
    return isinstance(body, PublicMessage) and body.content.sender.sender_type is not SenderType.MEMBER


def _opened(state: GroupState, private: PrivateMessage, message: bytes) -> tuple[GroupState, AuthenticatedContent]:
    if private.content_type is ContentType.APPLICATION:
        raise InvalidError("V148", "application data where a handshake message belongs")
    digest = sha256(message)
    for own in state.own_proposals:
        if own.digest == digest:
            return state, own.authenticated
    tree = state.public.tree
    try:
        authenticated, _, secret_tree = open_private(
            state.suite,
            private,
            state.secrets.sender_data_secret,
            state.secret_tree,
            bounds(state),
            lambda index: tree.leaf(index) is not None,
        )
    except DuplicateError:  # staging uses no key up for good, so this can only be one that we sealed with
        if private.content_type is ContentType.COMMIT:
            raise OwnCommitError("our own commit") from None
        raise UnopenableError("a proposal of our own that we do not remember") from None
    return replace(state, secret_tree=secret_tree), authenticated


def given_proposals(state: GroupState, messages: Sequence[bytes]) -> tuple[GroupState, Given]:
    """Those that can be read. What cannot is anybody's, and keeps no Commit out that does without it."""
    contents: list[AuthenticatedContent] = []
    unread: MlsError | None = None
    for message in dict.fromkeys(messages):
        try:
            state, authenticated = unprotected(state, message)
        except MlsError as error:
            unread = unread or error
        else:
            contents.append(authenticated)
    return state, Given(contents, unread)


def received_proposals(state: GroupState, messages: Sequence[bytes]) -> tuple[GroupState, list[ListedProposal]]:
    """Proposal messages of this epoch, protection off and signatures verified (V093)."""
    received = []
    for message in dict.fromkeys(messages):
        state, authenticated = unprotected(state, message)
        received.append(state.public.receive_proposal(authenticated))
    return state, received
