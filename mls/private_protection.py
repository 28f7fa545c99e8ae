"""PrivateMessage (RFC 9420 §6.3): content sealed under the sender's next key, the sender sealed beside it."""

from collections.abc import Callable

from mls.codec import Reader, Writer
from mls.crypto import CipherSuite, Random
from mls.errors import InvalidError, MalformedError, MisuseError, UnopenableError
from mls.framing import (
    AuthenticatedContent,
    Content,
    FramedContent,
    FramedContentAuthData,
    PrivateContentAAD,
    PrivateMessage,
    Sender,
    SenderData,
    SenderDataAAD,
)
from mls.key_schedule import sender_data_key
from mls.padding import Padding, no_padding, padded
from mls.proposals import Commit, Proposal
from mls.registry import ContentType, WireFormat
from mls.secret_tree import MessageKey, RatchetBounds, SecretTree


def seal_private(
    suite: CipherSuite,
    authenticated: AuthenticatedContent,
    sender_data_secret: bytes,
    secret_tree: SecretTree,
    random: Random,
    padding: Padding = no_padding,
) -> tuple[PrivateMessage, SecretTree]:
    """The message, and the secret tree that has to be kept before it leaves (V045).

    The content is padded with zeros to the size that the policy says (V042).
    """
    content = authenticated.content
    if content.sender.leaf_index is None:
        raise MisuseError("only a member's content is sealed (V046)")
    key, after = secret_tree.next_key(content.sender.leaf_index, content.content_type)
    guard = random(4)
    ciphertext = suite.aead_seal(
        key.key,
        guarded_nonce(key, guard),
        _content_bytes(authenticated, padding),
        PrivateContentAAD(content.group_id, content.epoch, content.content_type, content.authenticated_data).encode(),
    )
    data_key, data_nonce = sender_data_key(suite, sender_data_secret, ciphertext)
    sender_data = suite.aead_seal(
        data_key,
        data_nonce,
        SenderData(content.sender.leaf_index, key.generation, guard).encode(),
        SenderDataAAD(content.group_id, content.epoch, content.content_type).encode(),
    )
    return (
        PrivateMessage(
            content.group_id,
            content.epoch,
            content.content_type,
            content.authenticated_data,
            sender_data,
            ciphertext,
        ),
        after,
    )


def open_private(
    suite: CipherSuite,
    message: PrivateMessage,
    sender_data_secret: bytes,
    secret_tree: SecretTree,
    bounds: RatchetBounds,
    is_member: Callable[[int], bool],
) -> tuple[AuthenticatedContent, int, SecretTree]:
    """The content, not yet verified, its generation, and the secret tree to keep once it is (V217).

    Raises DuplicateError (V044), UnopenableError (V047, V048), InvalidError (V039 to V041), MalformedError (V042).
    """
    data_key, data_nonce = sender_data_key(suite, sender_data_secret, message.ciphertext)
    try:
        opened = suite.aead_open(
            data_key,
            data_nonce,
            message.encrypted_sender_data,
            SenderDataAAD(message.group_id, message.epoch, message.content_type).encode(),
        )
    except UnopenableError:
        raise InvalidError("V039", "sender data that nobody in this epoch sealed") from None
    sender_data = SenderData.decode(opened)
    if not is_member(sender_data.leaf_index):
        raise InvalidError("V040", f"a message from leaf {sender_data.leaf_index}, which is blank")
    key, after = secret_tree.take_key(sender_data.leaf_index, message.content_type, sender_data.generation, bounds)
    try:
        plaintext = suite.aead_open(
            key.key,
            guarded_nonce(key, sender_data.reuse_guard),
            message.ciphertext,
            PrivateContentAAD(
                message.group_id, message.epoch, message.content_type, message.authenticated_data
            ).encode(),
        )
    except UnopenableError:
        raise InvalidError("V041", "content that its sender's key does not open") from None
    return _parse_content(message, Sender.member(sender_data.leaf_index), plaintext), key.generation, after


def guarded_nonce(key: MessageKey, reuse_guard: bytes) -> bytes:
    """The nonce with the guard mixed into its first four bytes (§6.3.1)."""
    return bytes(a ^ b for a, b in zip(key.nonce, reuse_guard, strict=False)) + key.nonce[len(reuse_guard) :]


def _content_bytes(authenticated: AuthenticatedContent, padding: Padding) -> bytes:
    """PrivateMessageContent (§6.3.1)."""
    writer = Writer()
    content = authenticated.content.content
    if isinstance(content, bytes):
        writer.opaque(content)
    else:
        content.write(writer)
    authenticated.auth.write(writer, authenticated.content.content_type)
    writer.extend(bytes(padded(padding, len(writer)) - len(writer)))
    return bytes(writer)


def _parse_content(message: PrivateMessage, sender: Sender, plaintext: bytes) -> AuthenticatedContent:
    reader = Reader(plaintext)
    content: Content
    match message.content_type:
        case ContentType.APPLICATION:
            content = reader.opaque()
        case ContentType.PROPOSAL:
            content = Proposal.read(reader)
        case ContentType.COMMIT:
            content = Commit.read(reader)
    auth = FramedContentAuthData.read(reader, message.content_type)
    if any(reader.take(reader.remaining)):
        raise MalformedError("padding that is not all zero (V042)")
    framed = FramedContent(
        message.group_id,
        message.epoch,
        sender,
        message.authenticated_data,
        message.content_type,
        content,
    )
    return AuthenticatedContent(WireFormat.MLS_PRIVATE_MESSAGE, framed, auth)
