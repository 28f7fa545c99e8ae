"""The mailbox's benchmark measures what it says, over real sockets; how long it takes is nobody's test."""

from pathlib import Path

import trio

from benchmarks import mailbox


async def test_messages_are_taken_over_libp2p(tmp_path: Path) -> None:
    with trio.fail_after(60):
        taken = await mailbox.ingest(tmp_path, 32, 2)
    assert taken.per_s > 0
    assert taken.mailbox_cpu_s > 0
    assert taken.item_bytes == 512
    assert taken.stored_bytes > taken.item_bytes


async def test_who_was_away_catches_up_through_a_mailbox_alone_over_libp2p(tmp_path: Path) -> None:
    with trio.fail_after(120):
        assert await mailbox.catch_up(tmp_path, 3, 6) > 0


async def test_what_a_member_says_is_brought_over_libp2p(tmp_path: Path) -> None:
    with trio.fail_after(60):
        assert await mailbox.speak(tmp_path, 20) > 0
