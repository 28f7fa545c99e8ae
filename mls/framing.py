"""Messages as they lie on the wire (RFC 9420 §6): what is framed, what is signed, what is sealed."""

from dataclasses import dataclass
from typing import Annotated, Self

from mls.codec import Fixed, KeptStruct, Opaque, Reader, Select, Struct, Uint32, Uint64, When, Writer, struct
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackage
from mls.proposals import Commit, Proposal
from mls.registry import ContentType, ProtocolVersion, SenderType, WireFormat
from mls.welcome import Welcome

Content = bytes | Proposal | Commit
"""Application data, a proposal or a commit."""

ReuseGuard = Annotated[bytes, Fixed(4)]


@struct
class Sender(Struct):
    """Who says it: a member by its leaf, an external sender by its place in `external_senders`, or a newcomer."""

    sender_type: SenderType
    leaf_index: Annotated[Uint32 | None, When("sender_type", SenderType.MEMBER)] = None
    sender_index: Annotated[Uint32 | None, When("sender_type", SenderType.EXTERNAL)] = None

    @classmethod
    def member(cls, leaf_index: int) -> Self:
        return cls(SenderType.MEMBER, leaf_index)


@struct
class FramedContent(KeptStruct):
    """What a message says, where it belongs and who says it; the core of everything signed (§6)."""

    group_id: Opaque
    epoch: Uint64
    sender: Sender
    authenticated_data: Opaque
    content_type: ContentType
    content: Annotated[
        Content,
        Select(
            "content_type",
            {ContentType.APPLICATION: Opaque, ContentType.PROPOSAL: Proposal, ContentType.COMMIT: Commit},
        ),
    ]


@dataclass(frozen=True, slots=True)
class FramedContentAuthData:
    """The signature, and for a Commit the confirmation tag (§6.1). Its layout depends on the content beside it."""

    signature: bytes
    confirmation_tag: bytes | None = None

    @classmethod
    def read(cls, reader: Reader, content_type: ContentType) -> Self:
        signature = reader.opaque()
        return cls(signature, reader.opaque() if content_type is ContentType.COMMIT else None)  # V030

    def write(self, writer: Writer, content_type: ContentType) -> None:
        writer.opaque(self.signature)
        if content_type is ContentType.COMMIT:
            if self.confirmation_tag is None:
                raise TypeError("a commit carries a confirmation tag (V030)")
            writer.opaque(self.confirmation_tag)


@struct
class WireFormatHead(Struct):
    wire_format: WireFormat


@struct
class AuthenticatedContent(Struct):
    """Content with its signature: what a ProposalRef and the transcript are made of (§6)."""

    wire_format: WireFormat
    content: FramedContent
    auth: FramedContentAuthData

    @classmethod
    def read(cls, reader: Reader) -> Self:
        head, content = WireFormatHead.read(reader), FramedContent.read(reader)
        return cls(head.wire_format, content, FramedContentAuthData.read(reader, content.content_type))

    def write(self, writer: Writer) -> None:
        writer.uint(self.wire_format, 2)
        self.content.write(writer)
        self.auth.write(writer, self.content.content_type)


@struct
class PublicMessage(Struct):
    """Signed, readable by everyone; from a member it also carries a tag only members can make (§6.2)."""

    content: FramedContent
    auth: FramedContentAuthData
    membership_tag: bytes | None = None  # there exactly when the sender is a member (V036)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        content = FramedContent.read(reader)
        auth = FramedContentAuthData.read(reader, content.content_type)
        by_member = content.sender.sender_type is SenderType.MEMBER
        return cls(content, auth, reader.opaque() if by_member else None)

    def write(self, writer: Writer) -> None:
        self.content.write(writer)
        self.auth.write(writer, self.content.content_type)
        by_member = self.content.sender.sender_type is SenderType.MEMBER
        if by_member != (self.membership_tag is not None):
            raise TypeError("a membership tag goes with a member, and with no other sender (V036)")
        if self.membership_tag is not None:
            writer.opaque(self.membership_tag)

    @property
    def authenticated(self) -> AuthenticatedContent:
        return AuthenticatedContent(WireFormat.MLS_PUBLIC_MESSAGE, self.content, self.auth)


@struct
class PrivateMessage(Struct):
    """Sealed for the members of one epoch: the sender under one key, the content under another (§6.3)."""

    group_id: Opaque
    epoch: Uint64
    content_type: ContentType
    authenticated_data: Opaque
    encrypted_sender_data: Opaque
    ciphertext: Opaque


@struct
class SenderData(Struct):
    """Which key opens a PrivateMessage: the sender's leaf, the generation, and the guard on its nonce (§6.3.2)."""

    leaf_index: Uint32
    generation: Uint32
    reuse_guard: ReuseGuard


@struct
class SenderDataAAD(Struct):
    group_id: Opaque
    epoch: Uint64
    content_type: ContentType


@struct
class PrivateContentAAD(Struct):
    group_id: Opaque
    epoch: Uint64
    content_type: ContentType
    authenticated_data: Opaque


@struct
class MLSMessage(Struct):
    """The outermost frame of everything that travels (§6)."""

    version: ProtocolVersion  # V006
    wire_format: WireFormat
    body: Annotated[
        PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage,
        Select(
            "wire_format",
            {
                WireFormat.MLS_PUBLIC_MESSAGE: PublicMessage,
                WireFormat.MLS_PRIVATE_MESSAGE: PrivateMessage,
                WireFormat.MLS_WELCOME: Welcome,
                WireFormat.MLS_GROUP_INFO: GroupInfo,
                WireFormat.MLS_KEY_PACKAGE: KeyPackage,
            },
        ),
    ]


_WIRE_FORMATS: dict[type[Struct], WireFormat] = {
    PublicMessage: WireFormat.MLS_PUBLIC_MESSAGE,
    PrivateMessage: WireFormat.MLS_PRIVATE_MESSAGE,
    Welcome: WireFormat.MLS_WELCOME,
    GroupInfo: WireFormat.MLS_GROUP_INFO,
    KeyPackage: WireFormat.MLS_KEY_PACKAGE,
}


def frame(body: PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage) -> bytes:
    """The bytes of an MLSMessage around `body`."""
    return MLSMessage(ProtocolVersion.MLS10, _WIRE_FORMATS[type(body)], body).encode()
