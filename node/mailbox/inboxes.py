"""The mailbox's side of notes to one person: anybody may leave one, only the holder of the inbox key collects them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from mls import MlsError, Random
from node.mailbox.messages import ITEMS_MAX, Deposit, Outcome
from node.mailbox.notes import (
    COLLECT_PROTOCOL,
    INBOX_PROTOCOL,
    NOTE_PROTOCOL,
    Collect,
    CollectReply,
    InboxChallenge,
    InboxRequest,
    Note,
    NoteReply,
    inbox_topic,
    seal_challenge,
)
from node.peer_id import PeerId
from node.transport import MIB, RefusedError, Transport
from ordering import MalformedError

if TYPE_CHECKING:
    from node.mailbox.serving import Mailbox

NOTES_MAX: Final = 256  # in an inbox, of one week
NOTES_SIZE_MAX: Final = 32 * MIB  # likewise

Act = Callable[[PeerId, bytes], Awaitable[bytes]]


class Inboxes:
    """Of one mailbox."""

    def __init__(self, mailbox: "Mailbox", public_key: bytes, random: Random) -> None:
        self._mailbox = mailbox
        self._public_key = public_key
        self._random = random

    def answer(self, transport: Transport) -> None:
        """From now on notes are taken and given out."""
        for protocol, act in (
            (NOTE_PROTOCOL, self._leave),
            (INBOX_PROTOCOL, self._challenge),
            (COLLECT_PROTOCOL, self._collect),
        ):
            transport.handle(protocol, partial(self._checked, act, protocol == NOTE_PROTOCOL))

    async def _checked(self, act: Act, brings: bool, peer: PeerId, payload: bytes) -> bytes:
        await self._mailbox.turn(peer, len(payload) if brings else 0)
        try:
            return await act(peer, payload)
        except (MalformedError, MlsError) as error:
            raise RefusedError(str(error)) from error

    async def _leave(self, _peer: PeerId, payload: bytes) -> bytes:
        note = Note.decode(payload)
        if not self._mailbox.admits(note.topic):
            raise RefusedError("this mailbox keeps notes for its own contacts only")
        count, size = self._mailbox.store.room(note.topic)
        if count >= NOTES_MAX or size + len(note.item) > NOTES_SIZE_MAX:
            return NoteReply(False).encode()
        outcomes, _ = await self._mailbox.take(note.topic, Deposit((note.item,)), len(payload))
        return NoteReply(outcomes[0] in (Outcome.STORED, Outcome.HELD)).encode()

    async def _challenge(self, peer: PeerId, payload: bytes) -> bytes:
        inbox_key = InboxRequest.decode(payload).inbox_key
        challenge = self._mailbox.challenges(peer, inbox_key)[0]
        return InboxChallenge(seal_challenge(inbox_key, self._public_key, challenge, self._random)).encode()

    async def _collect(self, peer: PeerId, payload: bytes) -> bytes:
        request = Collect.decode(payload)
        if request.challenge not in self._mailbox.challenges(peer, request.inbox_key):
            raise RefusedError("not the challenge of this inbox and connection")
        for week in request.weeks:
            topic = inbox_topic(request.inbox_key, week)
            if request.had:
                self._mailbox.store.remove(topic, request.had)
            ids = self._mailbox.store.ids(topic)[:ITEMS_MAX]
            if ids:
                return CollectReply(self._mailbox.store.items(topic, ids)[1]).encode()
        return CollectReply(()).encode()
