"""Rules for a message as such, broken by messages that are right in all else (RFC 9420 §6)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls.authentication import to_be_signed
from mls.credentials import CredentialUse, basic
from mls.crypto import SignaturePrivateKey
from mls.errors import InvalidError, MalformedError, MisuseError, UnopenableError
from mls.extensions import ExternalSender, external_senders_extension
from mls.framing import AuthenticatedContent, FramedContentAuthData, MLSMessage, PublicMessage, Sender, frame
from mls.peek import decode_key_package
from mls.proposals import Add, ExternalInit, Proposal, Remove
from mls.public_protection import protect, to_be_tagged
from mls.registry import ContentType, SenderType
from tests.mls.forge import Forger, instead, refused
from tests.mls.world import NOW, Dice, Members

TAG = bytes((32,)) + bytes(32)
"""An encoded tag of the suite's size."""


class Table(Members):
    """Alice breaks rules, Bob judges; an outsider may propose."""

    def __init__(self) -> None:
        self.outsider: SignaturePrivateKey = Members("outside", seed="outside")["outside"].state.signer
        named = external_senders_extension((ExternalSender(self.outsider.public, basic(b"a supervisor")),))
        super().__init__("alice", "bob", "carol", extensions=(named,))
        self.alice = Forger(self["alice"], Dice("forger"))

    def refuses(self, rule: str, message: bytes, *proposals: bytes) -> None:
        refused(self["bob"], rule, message, proposals)

    def malformed(self, rule: str, message: bytes) -> None:
        before = self["bob"].to_bytes()
        for take in (lambda: self["bob"].stage(message, now=NOW), lambda: self["bob"].public.check_commit(message)):
            with pytest.raises(MalformedError, match=rule):
                take()
        assert self["bob"].to_bytes() == before


@pytest.fixture
def table() -> Table:
    return Table()


def with_signature(signature: bytes) -> Callable[[AuthenticatedContent], AuthenticatedContent]:
    return lambda signed: replace(signed, auth=replace(signed.auth, signature=signature))


def application(forger: Forger) -> bytes:
    """Application data in a PublicMessage, signed and tagged as if that were allowed."""
    group = forger.group
    proposal = forger.framed(Proposal.of(Remove(2)))
    signed = forger.signed(replace(proposal, content_type=ContentType.APPLICATION, content=b"words"))
    tagged = to_be_tagged(signed, group.context.encode())
    tag = group.suite.mac(group.state.secrets.membership_key, tagged)
    return frame(PublicMessage(signed.content, signed.auth, tag))


def test_v029_a_commit_with_a_wrong_signature_is_not_looked_into(table: Table) -> None:
    """V038, V148: neither its proposals nor its path are judged, and the application is asked nothing."""
    asked: list[CredentialUse] = []
    package = table.client("dave").package().key_package
    wrong = table.alice.commit(
        Add(package), edit_content=instead(Remove(77), Add(package)), edit_signed=with_signature(bytes(64))
    )
    with pytest.raises(InvalidError) as by_anyone:
        table["bob"].public.check_commit(wrong, accept=lambda use: not asked.append(use))  # type: ignore[func-returns-value]
    assert (by_anyone.value.rule, asked) == ("V028", [])
    table.refuses("V028", wrong)


def test_v038_a_commit_with_a_right_signature_and_a_wrong_confirmation_tag(table: Table) -> None:
    right = table.alice.commit()
    body = MLSMessage.decode(right).body
    assert isinstance(body, PublicMessage)
    signed = replace(body.authenticated, auth=FramedContentAuthData(body.auth.signature, bytes(32)))
    before = table["bob"].to_bytes()
    with pytest.raises(UnopenableError) as wrong:
        table["bob"].stage(table.alice.message(signed), now=NOW)
    assert wrong.value.rule == "V031"
    assert table["bob"].to_bytes() == before


def test_v028_a_signature_over_another_epochs_context(table: Table) -> None:
    """The context is no part of the message, and is signed all the same."""
    other = replace(table["alice"].context, confirmed_transcript_hash=bytes(32)).encode()

    def signed_elsewhere(signed: AuthenticatedContent) -> AuthenticatedContent:
        content = to_be_signed(signed.wire_format, signed.content, other)
        group = table["alice"]
        signature = group.suite.sign_with_label(group.state.signer, "FramedContentTBS", content)
        return with_signature(signature)(signed)

    table.refuses("V028", table.alice.commit(edit_signed=signed_elsewhere))


def test_v030_a_proposal_with_a_confirmation_tag(table: Table) -> None:
    """It has no place for one: a byte too much is a byte too much."""
    proposal = table.alice.proposal(Remove(2))
    table.malformed("V005", proposal[: -len(TAG)] + TAG + proposal[-len(TAG) :])


def test_v032_application_data_in_a_public_message(table: Table) -> None:
    message = application(table.alice)
    table.refuses("V032", message)
    with pytest.raises(InvalidError) as wrong:
        table["bob"].open(message, NOW)
    assert wrong.value.rule == "V032"


def test_v032_we_send_no_application_data_in_a_public_message(table: Table) -> None:
    group = table["alice"]
    proposal = table.alice.framed(Proposal.of(Remove(2)))
    signed = table.alice.signed(replace(proposal, content_type=ContentType.APPLICATION, content=b"words"))
    with pytest.raises(MisuseError, match="V032"):
        protect(group.suite, signed, group.state.secrets.membership_key, group.context.encode())


def test_v035_we_do_not_send_what_a_member_may_not(table: Table) -> None:
    """An ExternalInit is the one proposal that no member makes, alone or in a commit."""
    group, proposal = table["alice"], Proposal.of(ExternalInit(bytes(32)))
    with pytest.raises(InvalidError) as alone:
        group.propose(proposal, table.random, NOW)
    with pytest.raises(InvalidError) as committed:
        group.commit(table.random, NOW, proposals=[proposal])
    assert (alone.value.rule, committed.value.rule) == ("V104", "V127")


def test_v036_a_members_message_without_a_membership_tag(table: Table) -> None:
    table.malformed("V004", table.alice.commit()[: -len(TAG)])


def test_v036_an_outsiders_message_with_a_membership_tag(table: Table) -> None:
    sender = Sender(SenderType.EXTERNAL, sender_index=0)
    proposal = table.alice.proposal(Remove(2), sender, table.outsider)
    assert table["bob"].public.check_commit(table.alice.commit(references=[proposal]), [proposal]).removes == (2,)
    table.malformed("V005", proposal + TAG)


def test_v026_a_proposal_from_a_sender_of_external_commits(table: Table) -> None:
    proposal = table.alice.proposal(Remove(2), Sender(SenderType.NEW_MEMBER_COMMIT))
    table.refuses("V026", table.alice.commit(references=[proposal]), proposal)


def test_v088_a_key_package_of_another_version_than_its_frame(table: Table) -> None:
    """The frame's version is ours, or we would not read on; so the other one is none that we know."""
    data = frame(table.client("dave").package().key_package)
    assert data[:6] == b"\x00\x01\x00\x05\x00\x01"
    with pytest.raises(MalformedError, match="V006"):
        decode_key_package(data[:5] + b"\x02" + data[6:])


def test_v093_a_proposal_that_nobody_signed_or_of_another_epoch_is_not_taken(table: Table) -> None:
    """Though the commit that refers to it is right, and so is the tag of the epoch on it."""
    content = table.alice.framed(Proposal.of(Remove(2)))
    unsigned = table.alice.message(with_signature(bytes(64))(table.alice.signed(content)))
    table.refuses("V028", table.alice.commit(references=[unsigned]), unsigned)
    late = table.alice.message(table.alice.signed(replace(content, epoch=0)))
    table.refuses("V021", table.alice.commit(references=[late]), late)


def test_v093_a_reference_is_to_the_whole_message(table: Table) -> None:
    """The same proposal beside other data, or by another member, is another one."""
    one = table.alice.proposal(Remove(2))
    content = table.alice.framed(Proposal.of(Remove(2)))
    beside = table.alice.message(table.alice.signed(replace(content, authenticated_data=b"more")))
    by_another = Forger(table["carol"], table.random).proposal(Remove(2))
    table.refuses("V115", table.alice.commit(references=[one]), beside, by_another)
