"""Sealing what travels on a topic, so that a peer who relays it without being a member can read nothing of it.

The key is exported from the epoch; the nonce is a hash of the content, so that equal frames give equal bytes and
gossip recognises a repetition. Two different contents of one epoch share a nonce only if their hashes collide.
"""

from typing import Final

from mls import Group, UnopenableError, aead_open, aead_seal, sha256
from node.peer_messages import Frame, Sealed
from ordering import MalformedError

EXPORTER_LABEL: Final = "conclave gossip"
KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12


def gossip_key(group: Group) -> bytes:
    """The key of the group's present epoch, 32 bytes."""
    return group.export(EXPORTER_LABEL, b"", KEY_SIZE)


def seal(frame: Frame, epoch: int, key: bytes) -> bytes:
    """The frame as it goes on the topic."""
    content = frame.encode()
    nonce = sha256(key + content)[:NONCE_SIZE]  # keyed: an outsider cannot test guesses at the content
    return Sealed(frame.tag, epoch, nonce, aead_seal(key, nonce, content, _aad(frame.tag, epoch))).encode()


def open_sealed(sealed: Sealed, key: bytes) -> Frame:
    """The frame inside; raises `MalformedError` when the key does not open it or it names another group."""
    try:
        content = aead_open(key, sealed.nonce, sealed.ciphertext, _aad(sealed.tag, sealed.epoch))
    except UnopenableError:
        raise MalformedError("a hint that the key of its epoch does not open") from None
    frame = Frame.decode(content)
    if frame.tag != sealed.tag:
        raise MalformedError("a hint for one group, sealed for another")
    return frame


def _aad(tag: bytes, epoch: int) -> bytes:
    return tag + epoch.to_bytes(8, "big")
