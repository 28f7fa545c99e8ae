"""PublicMessage (RFC 9420 §6.2): the tag by which members know that a member sent it."""

from mls.authentication import to_be_signed
from mls.codec import Writer
from mls.crypto import CipherSuite
from mls.errors import InvalidError, MisuseError
from mls.framing import AuthenticatedContent, PublicMessage
from mls.registry import ContentType, SenderType


def protect(
    suite: CipherSuite, authenticated: AuthenticatedContent, membership_key: bytes, group_context: bytes
) -> PublicMessage:
    """The message to send; only a member's carries a membership tag (V036)."""
    if authenticated.content.content_type is ContentType.APPLICATION:
        raise MisuseError("application data never travels in a PublicMessage (V032)")
    tag = None
    if authenticated.content.sender.sender_type is SenderType.MEMBER:
        tag = suite.mac(membership_key, to_be_tagged(authenticated, group_context))
    return PublicMessage(authenticated.content, authenticated.auth, tag)


def check_membership_tag(
    suite: CipherSuite, message: PublicMessage, membership_key: bytes, group_context: bytes
) -> None:
    """A member's message carries the tag that this epoch's members can make (V037)."""
    if message.content.sender.sender_type is not SenderType.MEMBER:
        return
    tagged = to_be_tagged(message.authenticated, group_context)
    if not suite.mac_verify(membership_key, tagged, message.membership_tag or b""):
        raise InvalidError("V037", "a membership tag that no member of this epoch made")


def to_be_tagged(authenticated: AuthenticatedContent, group_context: bytes) -> bytes:
    """AuthenticatedContentTBM (§6.2)."""
    writer = Writer(to_be_signed(authenticated.wire_format, authenticated.content, group_context))
    authenticated.auth.write(writer, authenticated.content.content_type)
    return bytes(writer)
