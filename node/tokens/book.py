"""Tokens: those that the user has given to programs, and the one of this run, which lies in a file of its owner."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.gate import Grant
from node.api.operation import SCOPES
from node.api.select import Named, pick
from node.secret_files import write_secret_file
from node.store import Store
from node.tokens.tables import TokenRow

TOKENS_MAX: Final = 256  # given out at once
TOKEN_SIZE: Final = 32  # random bytes
PREFIX: Final = "conclave-"  # so that a token that leaked can be told for one


class Tokens:
    """Of a running node."""

    def __init__(self, store: Store, random: Callable[[int], bytes], now_ms: Callable[[], int]) -> None:
        self._store = store
        self._random = random
        self._now_ms = now_ms
        self._own = b""  # the digest of the token in the file
        self._ended: dict[bytes, trio.Event] = {}  # of those in use, to end their streams
        self._rows = {row.digest: row for row in store.tokens()}

    def all(self) -> tuple[TokenRow, ...]:
        """Those given out, expired ones too, oldest first."""
        return tuple(self._rows.values())

    def create(self, name: str, scope: schema.Scope, lifetime_s: int | None) -> tuple[TokenRow, str]:
        """Give one out; its text is said now and never again."""
        if any(row.name.casefold() == name.casefold() for row in self._rows.values()):
            raise ApiError(
                ErrorCode.NAME_TAKEN, f"there is a token {name!r} already", "revoke it, or name it otherwise"
            )
        if len(self._rows) >= TOKENS_MAX:
            raise ApiError(ErrorCode.REFUSED, f"{TOKENS_MAX} tokens are given out", "revoke one: conclave token list")
        now_ms, text = self._now_ms(), self._text()
        expires_ms = None if lifetime_s is None else now_ms + 1000 * lifetime_s
        row = TokenRow(self._random(8), name, scope, _digest(text), now_ms, expires_ms)
        with self._store.transaction() as transaction:
            transaction.put_token(row)
        self._rows[row.digest] = row
        return row, text

    def revoke(self, reference: str) -> TokenRow:
        """Take one back, by its name or the beginning of its id: what it has opened ends now."""
        choices = {row.id.hex(): row for row in self._rows.values()}
        row = choices[pick("token", reference, [Named(id_, one.name) for id_, one in choices.items()]).id]
        with self._store.transaction() as transaction:
            transaction.delete_token(row.id)
        del self._rows[row.digest]
        if (ended := self._ended.pop(row.digest, None)) is not None:
            ended.set()
        return row

    def grant(self, token: str) -> Grant | None:
        """What a token is good for. It is looked up by its hash: how long that takes says nothing about its text."""
        digest = _digest(token)
        if digest == self._own:
            return Grant("admin")
        row = self._rows.get(digest)
        if row is None or row.scope not in SCOPES:
            return None
        left_s = float("inf") if row.expires_ms is None else (row.expires_ms - self._now_ms()) / 1000
        if left_s <= 0:
            return None
        [scope] = [each for each in SCOPES if each == row.scope]
        return Grant(scope, self._ended.setdefault(digest, trio.Event()), left_s)

    @contextmanager
    def of_this_run(self, path: Path) -> Iterator[None]:
        """A token for everything, in a file that only its owner can read, for as long as the block lasts."""
        path.unlink(missing_ok=True)  # a crashed run's
        text = self._text()
        write_secret_file(path, f"{text}\n".encode())
        self._own = _digest(text)
        try:
            yield
        finally:
            self._own = b""
            path.unlink(missing_ok=True)

    def _text(self) -> str:
        return PREFIX + base64.urlsafe_b64encode(self._random(TOKEN_SIZE)).rstrip(b"=").decode()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
