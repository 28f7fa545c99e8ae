"""Who signed a message (RFC 9420 §6.1): FramedContentTBS, and the references made of signed content (§5.2)."""

from mls.codec import Writer
from mls.crypto import CipherSuite, SignaturePrivateKey
from mls.framing import AuthenticatedContent, Content, FramedContent, FramedContentAuthData, Sender
from mls.proposals import Commit, Proposal
from mls.registry import ContentType, ProtocolVersion, SenderType, WireFormat

PROPOSAL_REF_LABEL = "MLS 1.0 Proposal Reference"
CONTENT_LABEL = "FramedContentTBS"

_WITH_CONTEXT = frozenset((SenderType.MEMBER, SenderType.NEW_MEMBER_COMMIT))


def framed(group_id: bytes, epoch: int, sender: Sender, content: Content, authenticated_data: bytes) -> FramedContent:
    """Content in its frame, the content type being that of the value."""
    match content:
        case Proposal():
            content_type = ContentType.PROPOSAL
        case Commit():
            content_type = ContentType.COMMIT
        case _:
            content_type = ContentType.APPLICATION
    return FramedContent(group_id, epoch, sender, authenticated_data, content_type, content)


def to_be_signed(wire_format: WireFormat, content: FramedContent, group_context: bytes) -> bytes:
    """FramedContentTBS (§6.1, V028); `group_context` is the encoded context of the content's epoch."""
    writer = Writer()
    writer.uint(ProtocolVersion.MLS10, 2)
    writer.uint(wire_format, 2)
    content.write(writer)
    if content.sender.sender_type in _WITH_CONTEXT:
        writer.extend(group_context)
    return bytes(writer)


def sign(
    suite: CipherSuite,
    signer: SignaturePrivateKey,
    wire_format: WireFormat,
    content: FramedContent,
    group_context: bytes,
) -> bytes:
    """The signature alone: a Commit's confirmation tag depends on it and is made later (§6.1)."""
    return suite.sign_with_label(signer, CONTENT_LABEL, to_be_signed(wire_format, content, group_context))


def sign_content(
    suite: CipherSuite,
    signer: SignaturePrivateKey,
    wire_format: WireFormat,
    content: FramedContent,
    group_context: bytes,
) -> AuthenticatedContent:
    """An application message or a proposal with its signature."""
    signature = sign(suite, signer, wire_format, content, group_context)
    return AuthenticatedContent(wire_format, content, FramedContentAuthData(signature))


def verifies(
    suite: CipherSuite, signature_key: bytes, authenticated: AuthenticatedContent, group_context: bytes
) -> bool:
    """Whether that key signed this content for this context (V028, V211)."""
    signed = to_be_signed(authenticated.wire_format, authenticated.content, group_context)
    return suite.verify_with_label(signature_key, CONTENT_LABEL, signed, authenticated.auth.signature)


def proposal_reference(suite: CipherSuite, authenticated: AuthenticatedContent) -> bytes:
    """ProposalRef: over the whole AuthenticatedContent, wire format and signature included (§5.2, V093)."""
    return suite.ref_hash(PROPOSAL_REF_LABEL, authenticated.encode())
