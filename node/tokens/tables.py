"""The table of tokens. What is kept of a token is its hash: the store cannot give it away."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Final

TABLES: Final = """
CREATE TABLE tokens (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token that was given out."""

    id: bytes
    name: str  # the user's word for who has it; unique
    scope: str
    digest: bytes = field(repr=False)  # SHA-256 of its text
    created_ms: int
    expires_ms: int | None


class TokenReads:
    """The questions. Whoever derives from it knows how to run a statement."""

    __slots__ = ()

    @abstractmethod
    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""

    def tokens(self) -> tuple[TokenRow, ...]:
        """Those given out, oldest first."""
        sql = "SELECT id, name, scope, digest, created_ms, expires_ms FROM tokens ORDER BY rowid"
        return tuple(TokenRow(*row) for row in self._rows(sql))


class TokenWrites(TokenReads):
    """The changes, for use inside a transaction."""

    __slots__ = ()

    def put_token(self, row: TokenRow) -> None:
        self._rows(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
            *(row.id, row.name, row.scope, row.digest, row.created_ms, row.expires_ms),
        )

    def delete_token(self, id_: bytes) -> None:
        self._rows("DELETE FROM tokens WHERE id = ?", id_)
