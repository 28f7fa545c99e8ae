"""Application messages (RFC 9420 §6.3, §15): sealed in the present epoch, opened in it and in those still kept."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mls.authentication import framed, sign_content, verifies
from mls.crypto import Random
from mls.errors import FutureEpochError, InvalidError, MisuseError, UnknownEpochError
from mls.framing import MLSMessage, PrivateMessage, Sender, frame
from mls.group_context import GroupContext
from mls.past_epochs import leaf_then, rank_of, retained
from mls.private_protection import open_private, seal_private
from mls.registry import ContentType, WireFormat
from mls.secret_tree import RatchetBounds, SecretTree
from mls.state import GroupState, check_moment
from mls.tree.nodes import LeafNode


@dataclass(frozen=True, slots=True)
class ApplicationMessage:
    """An opened message, its signature verified: who said it, when in the group's life, and what."""

    sender_leaf: int
    sender_identity: bytes
    epoch: int
    generation: int
    authenticated_data: bytes
    plaintext: bytes = field(repr=False)


def seal(
    state: GroupState, plaintext: bytes, random: Random, authenticated_data: bytes = b""
) -> tuple[GroupState, bytes]:
    """(state to keep before the message leaves, message).

    Raises MisuseError while a proposal of ours waits for its Commit. Those of others are not kept here: whoever has
    received one commits before it seals (§12.4, V166).
    """
    state.check_open()
    if not isinstance(plaintext, bytes):
        raise MisuseError(f"what is sealed is bytes, not {type(plaintext).__name__}")
    if state.own_proposals:
        raise MisuseError("a proposal of ours waits in this epoch: commit before saying more (V166)")
    public, suite = state.public, state.suite
    content = framed(public.group_id, public.epoch, Sender.member(state.own_leaf), plaintext, authenticated_data)
    signed = sign_content(suite, state.signer, WireFormat.MLS_PRIVATE_MESSAGE, content, public.context.encode())
    message, secret_tree = seal_private(
        suite,
        signed,
        state.secrets.sender_data_secret,
        state.secret_tree,
        random,
        state.config.padding,
    )
    return replace(state, secret_tree=secret_tree), frame(message)


def skipping(state: GroupState, count: int, now: int) -> GroupState:
    """Not to seal with our next `count` message keys: whoever has a newer copy of this state may have used them.

    Like keys that a receiver passes over, all but the last stay for a while, to open what was sealed with them.
    """
    if not count:
        return state
    last = state.secret_tree.generation(state.own_leaf, ContentType.APPLICATION) + count - 1
    _, secret_tree = state.secret_tree.take_key(state.own_leaf, ContentType.APPLICATION, last, bounds(state, now))
    return replace(state, secret_tree=secret_tree)


def open_message(state: GroupState, message: bytes, now: int) -> tuple[GroupState, ApplicationMessage]:
    """(state that has used up the message's key, message). Nothing is used up unless everything verified (V217)."""
    check_moment(now)
    body = MLSMessage.decode(message).body
    if not isinstance(body, PrivateMessage) or body.content_type is not ContentType.APPLICATION:
        raise InvalidError("V032", "no PrivateMessage with application data")
    context = state.public.context
    if body.group_id != context.group_id:
        raise InvalidError("V020", "a message for another group")
    if body.epoch > context.epoch:
        raise FutureEpochError(body.epoch)
    if body.epoch == context.epoch:
        state.public.check_open()
        secrets = EpochKeys(context, state.secrets.sender_data_secret, state.secret_tree, state.public.tree.leaf)
        secret_tree, opened = _open(state, body, secrets, now)
        return replace(state, secret_tree=secret_tree), opened
    if body.epoch < state.first_epoch:
        raise UnknownEpochError(body.epoch)
    past = retained(state.past, now, state.config)
    rank = rank_of(past, body.epoch)
    epoch = past[rank]

    def leaf_at(leaf_index: int) -> LeafNode | None:
        return leaf_then(past, rank, state.public.tree, leaf_index)

    secret_tree, opened = _open(
        state, body, EpochKeys(epoch.context, epoch.sender_data_secret, epoch.secret_tree, leaf_at), now
    )
    after = replace(epoch, secret_tree=secret_tree)
    return replace(state, past=(*past[:rank], after, *past[rank + 1 :])), opened


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """What opens and verifies a message, of this epoch or a past one."""

    context: GroupContext
    sender_data_secret: bytes = field(repr=False)
    secret_tree: SecretTree
    leaf_at: Callable[[int], LeafNode | None]


def _open(
    state: GroupState, message: PrivateMessage, epoch: EpochKeys, now: int
) -> tuple[SecretTree, ApplicationMessage]:
    authenticated, generation, after = open_private(
        state.suite,
        message,
        epoch.sender_data_secret,
        epoch.secret_tree,
        bounds(state, now),
        lambda leaf_index: epoch.leaf_at(leaf_index) is not None,
    )
    content = authenticated.content
    assert content.sender.leaf_index is not None
    leaf = epoch.leaf_at(content.sender.leaf_index)
    assert leaf is not None
    if not verifies(state.suite, leaf.signature_key, authenticated, epoch.context.encode()):
        raise InvalidError("V028", "a signature that does not verify")
    assert isinstance(content.content, bytes)
    return after, ApplicationMessage(
        content.sender.leaf_index,
        leaf.credential.identity,
        content.epoch,
        generation,
        content.authenticated_data,
        content.content,
    )


def bounds(state: GroupState, now: int = 0) -> RatchetBounds:
    """`now` is when skipped keys are taken down; those of handshake messages end with their epoch anyway."""
    config = state.config
    return RatchetBounds(config.out_of_order_max, config.forward_distance_max, config.out_of_order_age_s, now)
