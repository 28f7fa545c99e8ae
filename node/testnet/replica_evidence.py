"""What a node holds, laid open for a search: its files as they are, its databases decrypted, its log.

The search is for what a replica may not know. It can fail: let loose on a member it finds all of it, which the tests
show.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.config import Config
from node.data_dir import DataDir
from node.errors import NodeError
from node.mailbox.hosting import MAILBOX_KEY
from node.mailbox.store_schema import MAILBOX_MIGRATIONS, MAILBOX_SCHEMA, MAILBOX_SCHEMA_VERSION
from node.peer_id import public_key_of
from node.setup import open_key
from node.store import Schema, open_database, open_store
from node.store_schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION
from node.testnet.processes import LOG_NAME

FILES: Final = (LOG_NAME, "node.toml", "store.db", "store.db-wal", "mailbox.db", "mailbox.db-wal")
"""What is searched as it lies on the disk; the vault holds keys of this node alone."""

STORE_SCHEMA: Final = Schema(SCHEMA_VERSION, SCHEMA, MIGRATIONS)
SERVED_SCHEMA: Final = Schema(MAILBOX_SCHEMA_VERSION, MAILBOX_SCHEMA, MAILBOX_MIGRATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaEvidence:
    """One replica."""

    name: str
    places: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # where → what lies there
    item_count: int = 0
    entry_count: int = 0  # certified ends of epochs
    damage: str = ""  # why it could not be read


def read_replica(name: str, config: Config) -> ReplicaEvidence:
    """Everything a stopped replica holds."""
    try:
        places = {f"file {file}": data for file, data in _files(config.data_dir)}
        places |= columns_of(config)
        items, entries = _counts(config)
    except (NodeError, OSError) as error:
        return ReplicaEvidence(name=name, damage=f"{type(error).__name__}: {error}")
    return ReplicaEvidence(name=name, places=places, item_count=items, entry_count=entries)


def columns_of(config: Config) -> dict[str, bytes]:
    """What is in the databases of a stopped node, decrypted, by file, table and column."""
    data_dir, key = DataDir(config.data_dir), open_key(config).value
    found = {f"store.db {column}": data for column, data in _columns(data_dir.store_path, key, STORE_SCHEMA)}
    if (served := _served_key(config)) is not None:
        found |= {
            f"mailbox.db {column}": data for column, data in _columns(data_dir.mailbox_path, served, SERVED_SCHEMA)
        }
    return found


def found_in(places: Mapping[str, bytes], needles: Mapping[str, Iterable[bytes]]) -> Iterator[str]:
    """Where something lies that should not: "a text in mailbox.db items.body". Once for each place and kind."""
    for kind, each in needles.items():
        shapes = [shape for needle in each for shape in shapes_of(needle)]
        for place, data in places.items():
            if any(shape in data for shape in shapes):
                yield f"a {kind} in {place}"


def shapes_of(needle: bytes) -> tuple[bytes, ...]:
    """As it is, and as text might carry it."""
    return needle, needle.hex().encode(), base64.b64encode(needle).rstrip(b"=")


def peer_needles(peers: Sequence[str]) -> list[bytes]:
    """Peer ids as text, and the keys in them."""
    return [each.encode() for each in peers] + [public_key_of(each) for each in peers]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in FILES:
        if (folder / name).exists():
            yield name, (folder / name).read_bytes()


def _columns(path: Path, key: bytes, schema: Schema) -> Iterator[tuple[str, bytes]]:
    with open_database(path, key, schema) as database:
        for (table,) in database.rows("SELECT name FROM sqlite_schema WHERE type = 'table'"):
            for _, column, *_ in database.rows(f"PRAGMA table_info({table})"):
                values = [value for (value,) in database.rows(f"SELECT {column} FROM {table}")]  # noqa: S608 - its own names
                yield f"{table}.{column}", b"\0".join(map(_as_bytes, values))


def _counts(config: Config) -> tuple[int, int]:
    key = _served_key(config)
    if key is None:
        return 0, 0
    with open_database(DataDir(config.data_dir).mailbox_path, key, SERVED_SCHEMA) as database:
        ((items,),) = database.rows("SELECT count(*) FROM items")
        ((entries,),) = database.rows("SELECT count(*) FROM entries")
    return items, entries


def _served_key(config: Config) -> bytes | None:
    """Of the mailbox's database; None where the node serves none."""
    with open_store(DataDir(config.data_dir).store_path, open_key(config).value, read_only=True) as store:
        return store.meta(MAILBOX_KEY)


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
