"""Message protection: the published vectors, and what each layer refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mls.authentication import framed, sign_content, verifies
from mls.codec import Struct
from mls.crypto import CipherSuite, SignaturePrivateKey, suite
from mls.errors import InvalidError
from mls.framing import (
    AuthenticatedContent,
    FramedContentAuthData,
    MLSMessage,
    PrivateMessage,
    PublicMessage,
    Sender,
    frame,
)
from mls.group_context import GroupContext
from mls.padding import MultipleOf
from mls.private_protection import open_private, seal_private
from mls.proposals import Commit, Proposal
from mls.public_protection import check_membership_tag, protect
from mls.registry import ProtocolVersion, WireFormat
from mls.secret_tree import RatchetBounds, SecretTree
from tests.mls.world import Dice
from tests.vectors import EVERY_SOURCE, Source, recorded

SENDER = 1
LEAF_COUNT = 2


class Published:
    """One case of the vectors, with what both ends of a message need."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.suite: CipherSuite = suite(case["cipher_suite"])
        self.bytes = {name: bytes.fromhex(value) for name, value in case.items() if isinstance(value, str)}
        self.context = GroupContext(
            ProtocolVersion.MLS10,
            self.suite.id,
            self.bytes["group_id"],
            case["epoch"],
            self.bytes["tree_hash"],
            self.bytes["confirmed_transcript_hash"],
            (),
        ).encode()
        self.epoch: int = case["epoch"]
        self.signer: SignaturePrivateKey = self.suite.load_signature_key(self.bytes["signature_priv"])
        self.secret_tree = SecretTree.start(self.suite, self.bytes["encryption_secret"], LEAF_COUNT)

    def open_public(self, message: bytes) -> AuthenticatedContent:
        body = MLSMessage.decode(message).body
        assert isinstance(body, PublicMessage)
        check_membership_tag(self.suite, body, self.bytes["membership_key"], self.context)
        assert verifies(self.suite, self.bytes["signature_pub"], body.authenticated, self.context)
        return body.authenticated

    def open_private(self, message: bytes) -> AuthenticatedContent:
        body = MLSMessage.decode(message).body
        assert isinstance(body, PrivateMessage)
        opened, _, _ = open_private(
            self.suite, body, self.bytes["sender_data_secret"], self.secret_tree, RatchetBounds(), lambda _: True
        )
        assert verifies(self.suite, self.bytes["signature_pub"], opened, self.context)
        return opened

    def signed(self, wire_format: WireFormat, content: bytes | Proposal | Commit) -> AuthenticatedContent:
        inner = framed(self.bytes["group_id"], self.epoch, Sender.member(SENDER), content, b"")
        signed = sign_content(self.suite, self.signer, wire_format, inner, self.context)
        if isinstance(content, Commit):
            return replace(signed, auth=FramedContentAuthData(signed.auth.signature, b"a confirmation tag"))
        return signed

    def seal_public(self, content: bytes | Proposal | Commit) -> bytes:
        signed = self.signed(WireFormat.MLS_PUBLIC_MESSAGE, content)
        return frame(protect(self.suite, signed, self.bytes["membership_key"], self.context))

    def seal_private(self, content: bytes | Proposal | Commit) -> bytes:
        signed = self.signed(WireFormat.MLS_PRIVATE_MESSAGE, content)
        secret = self.bytes["sender_data_secret"]
        return frame(seal_private(self.suite, signed, secret, self.secret_tree, Dice(), MultipleOf(32))[0])


def encoded(content: bytes | Struct) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


@EVERY_SOURCE
def test_published_messages_open_and_ours_open_the_same_way(source: Source) -> None:
    """Signature, membership tag, sender data, key schedule of messages and their framing, for all suites."""
    for each in source.cases("message-protection"):
        case = Published(each)
        proposal, commit = Proposal.decode(case.bytes["proposal"]), Commit.decode(case.bytes["commit"])
        ways: list[tuple[str, str, bytes | Proposal | Commit]] = [
            ("proposal", "pub", proposal),
            ("proposal", "priv", proposal),
            ("commit", "pub", commit),
            ("commit", "priv", commit),
            ("application", "priv", case.bytes["application"]),
        ]
        for name, way, content in ways:
            opener: Callable[[bytes], AuthenticatedContent] = getattr(
                case, "open_public" if way == "pub" else "open_private"
            )
            sealer = case.seal_public if way == "pub" else case.seal_private
            for message in (case.bytes[f"{name}_{way}"], sealer(content)):
                assert encoded(opener(message).content.content) == case.bytes[name], (name, way)
        source.ran("message-protection")


@pytest.fixture
def published() -> Published:
    return Published(recorded("message-protection")[0])


def test_a_signature_for_another_epoch_does_not_verify(published: Published) -> None:
    """V028: the signature covers the GroupContext."""
    opened = published.open_private(published.seal_private(b"words"))
    assert not verifies(published.suite, published.bytes["signature_pub"], opened, published.context + b"\x00")


def test_a_signature_for_another_wire_format_does_not_verify(published: Published) -> None:
    """V028: a PrivateMessage's content cannot be turned into a PublicMessage."""
    signed = published.signed(WireFormat.MLS_PRIVATE_MESSAGE, Proposal.decode(published.bytes["proposal"]))
    turned = replace(signed, wire_format=WireFormat.MLS_PUBLIC_MESSAGE)
    assert not verifies(published.suite, published.bytes["signature_pub"], turned, published.context)


@pytest.mark.parametrize("tag", [b"", b"short", b"x" * 32, b"x" * 64])
def test_a_wrong_membership_tag_is_v037(published: Published, tag: bytes) -> None:
    """A tag of any other length is no better than one of other bytes."""
    body = MLSMessage.decode(published.bytes["proposal_pub"]).body
    assert isinstance(body, PublicMessage)
    with pytest.raises(InvalidError) as refused:
        check_membership_tag(
            published.suite, replace(body, membership_tag=tag), published.bytes["membership_key"], published.context
        )
    assert refused.value.rule == "V037"


def test_a_prefix_of_the_membership_tag_is_v037(published: Published) -> None:
    """MACs are compared over their full length."""
    body = MLSMessage.decode(published.bytes["proposal_pub"]).body
    assert isinstance(body, PublicMessage)
    assert body.membership_tag is not None
    with pytest.raises(InvalidError, match="V037"):
        check_membership_tag(
            published.suite,
            replace(body, membership_tag=body.membership_tag[:-1]),
            published.bytes["membership_key"],
            published.context,
        )
