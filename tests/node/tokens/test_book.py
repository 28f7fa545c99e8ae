"""Tokens: given out once, kept as hashes, good for their scope and time, and gone when they are taken back."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.api.errors import ApiError, ErrorCode
from node.api.gate import Grant
from node.store import Store, open_store
from node.tokens import book
from node.tokens.book import Tokens

KEY = bytes(32)


class Clock:
    """Unix milliseconds that are set by hand."""

    ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db", KEY) as store:
        yield store


def tokens(store: Store, clock: Clock) -> Tokens:
    return Tokens(store, os.urandom, clock)


def granted(grant: Grant | None) -> str:
    return "" if grant is None else grant.scope


async def test_a_token_is_known_after_a_restart_and_its_text_nowhere(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    """Whoever reads the store, key and all, has no token."""
    row, text = tokens(store, clock).create("robot", "chat", None)

    again = tokens(store, clock)
    assert granted(again.grant(text)) == "chat"
    assert again.all() == (row,)
    assert text.startswith("conclave-")
    assert len(text) > 40
    kept = repr(store._rows("SELECT * FROM tokens")) + repr(row) + repr(again)
    assert text not in kept
    assert text.removeprefix("conclave-") not in kept


async def test_what_was_not_given_out_is_good_for_nothing(store: Store, clock: Clock) -> None:
    """Guesses, pieces, and the hash of a token."""
    known = tokens(store, clock)
    row, text = known.create("robot", "admin", None)

    for guess in ("", text[:-1], text + "A", text.upper(), row.digest.hex(), row.id.hex(), "robot", "\udcff", "ü"):
        assert known.grant(guess) is None


async def test_a_revoked_token_ends_what_it_has_opened(store: Store, clock: Clock) -> None:
    known = tokens(store, clock)
    _, text = known.create("robot", "read", None)
    _, other = known.create("other", "read", None)
    grants = known.grant(text), known.grant(other)
    assert grants[0] is not None
    assert grants[1] is not None

    known.revoke("ROBOT")

    assert isinstance(grants[0].ended, trio.Event)
    assert grants[0].ended.is_set()
    assert grants[1].ended is not None
    assert not grants[1].ended.is_set()
    assert known.grant(text) is None
    assert tokens(store, clock).grant(text) is None
    assert granted(known.grant(other)) == "read"


async def test_a_token_ends_at_its_time(store: Store, clock: Clock) -> None:
    known = tokens(store, clock)
    _, text = known.create("robot", "read", 60)
    grant = known.grant(text)
    assert grant is not None
    assert grant.left_s == 60

    clock.ms += 60_000

    assert known.grant(text) is None
    assert len(known.all()) == 1  # listed as expired, until it is taken away


async def test_names_are_unique_and_their_number_bounded(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name says whom to take it from."""
    known = tokens(store, clock)
    known.create("robot", "read", None)
    with pytest.raises(ApiError, match="there is a token 'Robot' already"):
        known.create("Robot", "admin", None)
    monkeypatch.setattr(book, "TOKENS_MAX", 1)
    with pytest.raises(ApiError, match="1 tokens are given out"):
        known.create("second", "read", None)
    with pytest.raises(ApiError) as caught:
        known.revoke("nobody")
    assert caught.value.code is ErrorCode.TOKEN_NOT_FOUND


async def test_the_token_of_a_run_lies_in_a_file_of_its_owner(store: Store, clock: Clock, tmp_path: Path) -> None:
    """For the owner's own programs; another one each time, and none once the node has stopped."""
    path, known = tmp_path / "api.token", tokens(store, clock)
    path.write_text("a crashed run's")
    seen = set()
    for _ in range(2):
        with known.of_this_run(path):
            text = path.read_text().strip()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert granted(known.grant(text)) == "admin"
            seen.add(text)
        assert not path.exists()
        assert known.grant(text) is None
        assert known.grant("") is None
    assert len(seen) == 2
    assert known.all() == ()
