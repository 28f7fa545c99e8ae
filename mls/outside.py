"""Proposals from outside a group (RFC 9420 §12.1.8): of an external sender it names, or of who wants to be added."""

from mls.authentication import framed, sign_content
from mls.crypto import SignaturePrivateKey, suite
from mls.errors import MisuseError
from mls.extensions import external_senders
from mls.framing import PublicMessage, Sender, frame
from mls.group_context import GroupContext
from mls.key_packages import KeyPackageBundle
from mls.observe import decode_group_info
from mls.proposals import Proposal, add
from mls.registry import GREASE_VALUES, SenderType, WireFormat
from mls.validation.key_packages import check_key_package
from mls.validation.proposals import check_sender_may


def propose_from_outside(
    context: GroupContext, proposal: Proposal, signer: SignaturePrivateKey, authenticated_data: bytes = b""
) -> bytes:
    """A proposal message of an external sender, found among the group's by its key (V024).

    Raises MisuseError where the group does not name it, InvalidError for what such a sender may not propose (V110). Of
    the application's own types, its `Policy` says which it may.
    """
    keys = [each.signature_key for each in external_senders(context.extensions)]
    if signer.public not in keys:
        raise MisuseError("the group does not name this key as an external sender's (V024)")
    if proposal.proposal_type in GREASE_VALUES:
        raise MisuseError("a reserved value is no proposal (V113)")
    sender = Sender(SenderType.EXTERNAL, sender_index=keys.index(signer.public))
    return _sent(context, sender, proposal, signer, authenticated_data)


def propose_own_add(context: GroupContext, bundle: KeyPackageBundle, authenticated_data: bytes = b"") -> bytes:
    """A proposal message to be added, by the one who wants to be (V027); the Welcome will be for this bundle."""
    check_key_package(suite(context.cipher_suite), bundle.key_package)
    sender = Sender(SenderType.NEW_MEMBER_PROPOSAL)
    return _sent(context, sender, add(bundle.key_package), bundle.signer, authenticated_data)


def group_context_of(group_info: bytes) -> GroupContext:
    """The context in a GroupInfo message, unverified: for a proposal, which comes to nothing where it is false."""
    return decode_group_info(group_info).group_context


def _sent(
    context: GroupContext, sender: Sender, proposal: Proposal, signer: SignaturePrivateKey, authenticated_data: bytes
) -> bytes:
    check_sender_may(sender, proposal)
    content = framed(context.group_id, context.epoch, sender, proposal, authenticated_data)
    row = suite(context.cipher_suite)
    signed = sign_content(row, signer, WireFormat.MLS_PUBLIC_MESSAGE, content, context.encode())
    return frame(PublicMessage(content, signed.auth))
