"""Application messages: who can read them, when, and once only."""

from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.errors import (
    DuplicateError,
    FutureEpochError,
    InvalidError,
    MalformedError,
    MlsError,
    StaleEpochError,
    UnopenableError,
)
from mls.framing import MLSMessage, PrivateContentAAD, PrivateMessage, SenderData, SenderDataAAD, frame
from mls.group import Group
from mls.key_schedule import sender_data_key
from mls.padding import MultipleOf
from mls.private_protection import guarded_nonce
from mls.registry import ContentType, WireFormat
from tests.mls.world import NOW, Members

DAY_S = 24 * 3600


def said(world: Members, name: str, words: bytes, authenticated_data: bytes = b"") -> bytes:
    """A message of that member, whose group moves on."""
    world.groups[name], message = world[name].seal(words, world.random, authenticated_data)
    return message


def heard(world: Members, name: str, message: bytes, now: int = NOW) -> bytes:
    """What that member reads, its group moving on."""
    world.groups[name], opened = world[name].open(message, now)
    return opened.plaintext


@pytest.fixture
def pair() -> Members:
    return Members("alice", "bob")


def test_a_message_says_who_said_what_when(pair: Members) -> None:
    said(pair, "alice", b"first")
    _, opened = pair["bob"].open(said(pair, "alice", b"second", b"beside it"), NOW)
    assert (opened.sender_leaf, opened.sender_identity) == (pair.leaf("alice"), b"alice")
    assert (opened.epoch, opened.generation) == (1, 1)
    assert (opened.plaintext, opened.authenticated_data) == (b"second", b"beside it")
    assert b"second" not in repr(opened).encode()


def test_messages_open_in_any_order_and_once(pair: Members) -> None:
    """V044: a key that was used opens nothing more."""
    messages = [said(pair, "alice", b"%d" % number) for number in range(5)]
    for number in (4, 0, 3, 1, 2):
        assert heard(pair, "bob", messages[number]) == b"%d" % number
    for message in messages:
        with pytest.raises(DuplicateError, match="V044"):
            pair["bob"].open(message, NOW)


def test_our_own_message_is_a_duplicate(pair: Members) -> None:
    message = said(pair, "alice", b"to the others")
    with pytest.raises(DuplicateError):
        pair["alice"].open(message, NOW)


def test_opening_changes_nothing_in_the_value_it_started_from(pair: Members) -> None:
    message = said(pair, "alice", b"words")
    before = pair["bob"].to_bytes()
    first, _ = pair["bob"].open(message, NOW)
    second, _ = pair["bob"].open(message, NOW)
    assert pair["bob"].to_bytes() == before
    assert first.to_bytes() == second.to_bytes() != before


def test_v217_a_broken_copy_does_not_use_up_the_key(pair: Members) -> None:
    message = said(pair, "alice", b"words")
    broken = message[:-1] + bytes([message[-1] ^ 1])
    with pytest.raises(InvalidError) as wrong:
        pair["bob"].open(broken, NOW)
    assert wrong.value.rule == "V041"
    assert heard(pair, "bob", message) == b"words"


def test_v047_a_generation_too_far_ahead() -> None:
    world = Members("alice", "bob", config=GroupConfig(forward_distance_max=3))
    messages = [said(world, "alice", b"%d" % number) for number in range(6)]
    with pytest.raises(UnopenableError) as wrong:
        world["bob"].open(messages[4], NOW)
    assert wrong.value.rule == "V047"
    assert heard(world, "bob", messages[3]) == b"3"


def test_v048_only_so_many_skipped_keys_are_kept() -> None:
    world = Members("alice", "bob", config=GroupConfig(out_of_order_max=3))
    messages = [said(world, "alice", b"%d" % number) for number in range(6)]
    assert heard(world, "bob", messages[5]) == b"5"
    assert heard(world, "bob", messages[3]) == b"3"
    with pytest.raises(UnopenableError) as wrong:
        world["bob"].open(messages[1], NOW)
    assert wrong.value.rule == "V048"


# --- epochs ---


def test_v022_a_message_of_a_past_epoch_opens_for_a_while(pair: Members) -> None:
    """By the sender's leaf of that time, even when it has left since."""
    pair.add("alice", "carol")
    message = said(pair, "carol", b"before I go")
    pair.remove("alice", "carol")
    pair.add("alice", "dave")  # in Carol's place
    assert heard(pair, "bob", message) == b"before I go"
    with pytest.raises(DuplicateError):
        pair["bob"].open(message, NOW)
    with pytest.raises(StaleEpochError, match="V022"):
        pair["dave"].open(message, NOW)


def test_v022_five_epochs_are_kept_whatever_their_age(pair: Members) -> None:
    message = said(pair, "alice", b"words")
    for _ in range(5):
        pair.commit("alice")
    assert heard(pair, "bob", message, NOW + 30 * DAY_S) == b"words"


def test_v022_more_than_five_epochs_are_kept_for_a_day(pair: Members) -> None:
    message = said(pair, "alice", b"words")
    for _ in range(6):
        pair.commit("alice")
    with pytest.raises(StaleEpochError):
        pair["bob"].open(message, NOW + DAY_S + 1)
    assert heard(pair, "bob", message, NOW + DAY_S) == b"words"


def test_v022_no_epoch_is_kept_beyond_twenty(pair: Members) -> None:
    message = said(pair, "alice", b"words")
    for _ in range(20):
        pair.commit("alice")
    assert len(pair["bob"].state.past) == 20
    opened, _ = pair["bob"].open(message, NOW)
    assert len(opened.state.past) == 20
    pair.commit("alice")
    with pytest.raises(StaleEpochError) as stale:
        pair["bob"].open(message, NOW)
    assert stale.value.epoch == 1


def test_v022_a_message_of_a_future_epoch_says_which(pair: Members) -> None:
    made = pair.commit("alice", adopt=False)
    _, message = made.successor.seal(b"words", pair.random)
    with pytest.raises(FutureEpochError) as future:
        pair["bob"].open(message, NOW)
    assert future.value.epoch == 2
    pair.adopt("alice", made)
    assert heard(pair, "bob", message) == b"words"


def test_a_successor_follows_what_its_epoch_went_on_saying(pair: Members) -> None:
    """A commit is staged early and adopted late: no message opens twice across that, and none is lost."""
    made = pair.commit("alice", adopt=False)
    staged = pair["bob"].stage(made.message, now=NOW).successor
    assert staged is not None
    seen, unseen = said(pair, "alice", b"seen"), said(pair, "alice", b"unseen")
    heard(pair, "bob", seen)

    after = staged.following(pair["bob"])

    with pytest.raises(DuplicateError):
        after.open(seen, NOW)
    assert after.open(unseen, NOW)[1].plaintext == b"unseen"
    with pytest.raises(MlsError):
        pair["bob"].following(staged)


def test_v169_a_removed_member_is_told_and_reads_nothing_after(pair: Members) -> None:
    pair.add("alice", "carol")
    carol = pair["carol"]
    made = pair.remove("alice", "carol")
    staged = carol.stage(made.message, now=NOW)
    assert (staged.removed, staged.successor) == (True, None)
    message = said(pair, "alice", b"about Carol")
    with pytest.raises(FutureEpochError):
        carol.open(message, NOW)


# --- what is refused ---


def private(message: bytes) -> PrivateMessage:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PrivateMessage)
    return body


def test_v020_a_message_for_another_group(pair: Members) -> None:
    message = private(said(pair, "alice", b"words"))
    with pytest.raises(InvalidError) as wrong:
        pair["bob"].open(frame(replace(message, group_id=b"another")), NOW)
    assert wrong.value.rule == "V020"


def test_v032_a_handshake_message_is_not_opened(pair: Members) -> None:
    for wire_format in (WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE):
        made = pair["alice"].commit(pair.random, NOW, wire_format=wire_format)
        with pytest.raises(InvalidError) as wrong:
            pair["bob"].open(made.message, NOW)
        assert wrong.value.rule == "V032"


def test_v148_an_application_message_is_not_staged(pair: Members) -> None:
    with pytest.raises(InvalidError) as wrong:
        pair["bob"].stage(said(pair, "alice", b"words"), now=NOW)
    assert wrong.value.rule == "V148"


class Sealer:
    """Seals by hand what the engine would not: the sender's key is right, one thing is not."""

    def __init__(self, group: Group, template: bytes) -> None:
        self.group, self.message = group, private(template)
        self.key, _ = group.state.secret_tree.next_key(group.own_leaf, ContentType.APPLICATION)

    def seal(self, content: bytes, leaf_index: int | None = None) -> bytes:
        suite, message = self.group.suite, self.message
        context = (message.group_id, message.epoch, message.content_type)
        aad = PrivateContentAAD(*context, message.authenticated_data).encode()
        ciphertext = suite.aead_seal(self.key.key, guarded_nonce(self.key, bytes(4)), content, aad)
        key, nonce = sender_data_key(suite, self.group.state.secrets.sender_data_secret, ciphertext)
        sender = SenderData(self.group.own_leaf if leaf_index is None else leaf_index, self.key.generation, bytes(4))
        sealed = suite.aead_seal(key, nonce, sender.encode(), SenderDataAAD(*context).encode())
        return frame(replace(message, encrypted_sender_data=sealed, ciphertext=ciphertext))

    def content(self) -> bytes:
        """The inside of the template: data, signature, padding."""
        suite, message = self.group.suite, self.message
        context = (message.group_id, message.epoch, message.content_type)
        key, nonce = sender_data_key(suite, self.group.state.secrets.sender_data_secret, message.ciphertext)
        sender = SenderData.decode(
            suite.aead_open(key, nonce, message.encrypted_sender_data, SenderDataAAD(*context).encode())
        )
        aad = PrivateContentAAD(*context, message.authenticated_data).encode()
        return suite.aead_open(self.key.key, guarded_nonce(self.key, sender.reuse_guard), message.ciphertext, aad)


@pytest.fixture
def sealer(pair: Members) -> Sealer:
    _, template = pair["alice"].seal(b"words", pair.random)
    return Sealer(pair["alice"], template)


def test_the_sealer_is_believed_when_it_breaks_no_rule(pair: Members, sealer: Sealer) -> None:
    assert heard(pair, "bob", sealer.seal(sealer.content())) == b"words"


def test_v040_a_message_from_a_blank_leaf(pair: Members, sealer: Sealer) -> None:
    for leaf_index in (5, 0xFFFFFFFF):
        with pytest.raises(InvalidError) as wrong:
            pair["bob"].open(sealer.seal(sealer.content(), leaf_index), NOW)
        assert wrong.value.rule == "V040"


def test_v041_a_message_sealed_with_another_members_key(pair: Members, sealer: Sealer) -> None:
    pair.add("alice", "carol")
    _, template = pair["alice"].seal(b"words", pair.random)
    forged = Sealer(pair["alice"], template)
    with pytest.raises(InvalidError) as wrong:
        pair["bob"].open(forged.seal(forged.content(), pair.leaf("carol")), NOW)
    assert wrong.value.rule == "V041"


def test_v042_padding_that_is_not_zero(pair: Members, sealer: Sealer) -> None:
    with pytest.raises(MalformedError, match="V042"):
        pair["bob"].open(sealer.seal(sealer.content()[:-1] + b"\x01"), NOW)


def test_v043_a_content_signature_that_is_wrong(pair: Members, sealer: Sealer) -> None:
    content = bytearray(sealer.content())
    content[1] ^= 1  # the first byte of "words"
    with pytest.raises(InvalidError) as wrong:
        pair["bob"].open(sealer.seal(bytes(content)), NOW)
    assert wrong.value.rule == "V028"


def test_v039_sender_data_of_another_message(pair: Members) -> None:
    first, second = private(said(pair, "alice", b"one")), private(said(pair, "alice", b"two"))
    with pytest.raises(InvalidError) as wrong:
        pair["bob"].open(frame(replace(first, encrypted_sender_data=second.encrypted_sender_data)), NOW)
    assert wrong.value.rule == "V039"


@pytest.mark.parametrize("words", [b"", b"x", b"x" * 200])
def test_messages_are_padded(words: bytes) -> None:
    """Their length tells no more than a multiple of the padding size."""
    world = Members("alice", "bob", config=GroupConfig(padding=MultipleOf(256)))
    sizes = {len(private(said(world, "alice", each)).ciphertext) for each in (words, b"yes", b"no")}
    assert len(sizes) <= 2
    assert all(size % 256 == 16 for size in sizes)


def test_any_single_flipped_byte_of_a_message_is_refused(pair: Members) -> None:
    """And leaves the group as it was."""
    message = said(pair, "alice", b"words", b"beside")
    before = pair["bob"].to_bytes()
    for position in range(len(message)):
        broken = bytearray(message)
        broken[position] ^= 0x01
        with pytest.raises(MlsError):
            pair["bob"].open(bytes(broken), NOW)
    assert pair["bob"].to_bytes() == before
    assert heard(pair, "bob", message) == b"words"


def test_v045_keys_that_a_newer_copy_may_have_used_are_passed_over(pair: Members) -> None:
    """A restored copy skips ahead; what was sealed with the keys it passed opens for it and for everybody."""
    older = pair["alice"]
    forgotten = [said(pair, "alice", words) for words in (b"one", b"two", b"three")]

    restored, message = older.skipping(8, NOW).seal(b"new", pair.random)

    assert heard(pair, "bob", message) == b"new"
    assert restored.next_generation == older.next_generation + 9
    for earlier, words in zip(forgotten, (b"one", b"two", b"three"), strict=True):
        assert heard(pair, "bob", earlier) == words
        restored, opened = restored.open(earlier, NOW)
        assert opened.plaintext == words
    assert older.skipping(0, NOW).next_generation == older.next_generation
