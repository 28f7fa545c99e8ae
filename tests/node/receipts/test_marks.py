"""What a mark proves, and to whom it says anything."""

import os

import pytest
from msgspec import structs

from node.identity import Identity
from node.receipts.marks import MARK_SIZE_MAX, Mark, SealedSection, open_section, seal_section
from ordering import MalformedError

GROUP, KEY = b"g" * 32, bytes(range(32))
ADA, BOB = Identity.generate(os.urandom), Identity.generate(os.urandom)
HELD = {0: ((0, 57),), 3: ((2, 2), (5, 9))}


def section(epoch: int = 4, member: Identity = ADA) -> SealedSection:
    return seal_section(KEY, GROUP, epoch, member.public_key, HELD)


def test_a_mark_is_the_word_of_its_member_of_one_group_standing_in_one_epoch() -> None:
    """Nobody says it for another, and nobody carries it elsewhere."""
    mark = Mark.sign(ADA, GROUP, 7, (section(), section(5)))
    assert Mark.decode(mark.encode()) == mark
    assert mark.is_signed(GROUP, 7)
    assert not mark.is_signed(GROUP, 8)
    assert not mark.is_signed(b"h" * 32, 7)
    assert not structs.replace(mark, member=BOB.public_key).is_signed(GROUP, 7)
    assert not structs.replace(mark, sections=mark.sections[:1]).is_signed(GROUP, 7)
    moved = (structs.replace(mark.sections[0], epoch=6), mark.sections[1])
    assert not structs.replace(mark, sections=moved).is_signed(GROUP, 7)


def test_what_it_tells_of_an_epoch_opens_with_that_epochs_key_alone() -> None:
    """A newcomer learns nothing of what was said before it came."""
    sealed = section()
    assert open_section(KEY, GROUP, sealed, ADA.public_key) == HELD
    for key, group, told, member in (
        (bytes(32), GROUP, sealed, ADA),
        (KEY, b"h" * 32, sealed, ADA),
        (KEY, GROUP, structs.replace(sealed, epoch=5), ADA),
        (KEY, GROUP, sealed, BOB),
    ):
        with pytest.raises(MalformedError):
            open_section(key, group, told, member.public_key)


def test_its_size_is_bounded() -> None:
    """It is small for what is usual: a thousand senders without gaps."""
    usual = seal_section(KEY, GROUP, 1, ADA.public_key, dict.fromkeys(range(1000), ((0, 1000),)))
    assert len(usual.sealed) < 16 * 1024
    with pytest.raises(MalformedError):
        Mark.decode(bytes(MARK_SIZE_MAX + 1))
