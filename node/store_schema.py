"""The tables of the store and the steps from one schema version to the next.

``PRAGMA user_version`` holds the version. A store of a version that is not here is refused, newer or older:
guessing at rows that hold the guard could make this node vote twice.
"""

from collections.abc import Mapping
from typing import Final

from node.contacts.tables import TABLES as CONTACTS
from node.key_packages.tables import MIGRATION as KEY_PACKAGES
from node.key_packages.tables import TABLES as WANTED_PACKAGES
from node.mailbox.tables import TABLES as MAILBOXES
from node.receipts.tables import TABLES as RECEIPTS
from node.tokens.tables import TABLES as TOKENS

SCHEMA_VERSION: Final = 5

MIGRATIONS: Mapping[int, str] = {
    1: """
ALTER TABLE groups ADD COLUMN pieces BLOB;
CREATE TABLE group_pieces (
    group_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (group_id, digest)
) STRICT;
ALTER TABLE decisions ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE decisions SET at_ms = unixepoch() * 1000;
CREATE INDEX intents_open ON intents (group_id, created_ms) WHERE state NOT IN ('done', 'already', 'failed');
""",
    2: CONTACTS,
    3: MAILBOXES,
    4: TOKENS + RECEIPTS + KEY_PACKAGES,
}
"""``MIGRATIONS[n]`` is the SQL script that turns a store of version n into one of version n + 1."""

SCHEMA: Final = f"""{CONTACTS}{MAILBOXES}{TOKENS}{RECEIPTS}{WANTED_PACKAGES}
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE groups (
    group_id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    snapshot BLOB,
    health TEXT NOT NULL,
    unconfirmed INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    extra BLOB NOT NULL,
    pieces BLOB -- NULL: the snapshot is whole; else it is the last piece, and these are the digests of the others
) STRICT;

CREATE TABLE group_pieces (
    group_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (group_id, digest)
) STRICT;

CREATE TABLE candidates (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    candidate_id BLOB NOT NULL,
    candidate BLOB NOT NULL,
    successor BLOB,
    intent_ids BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (group_id, epoch, candidate_id)
) STRICT;

CREATE TABLE ordering_records (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (group_id, epoch, key)
) STRICT;

-- Outlives its group: what was signed stays signed.
CREATE TABLE guards (
    group_id BLOB PRIMARY KEY,
    epoch INTEGER NOT NULL,
    view INTEGER NOT NULL,
    step INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    signed BLOB NOT NULL,
    signature BLOB NOT NULL,
    abstain_below INTEGER NOT NULL
) STRICT;

CREATE TABLE decisions (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    candidate_id BLOB NOT NULL,
    decision BLOB NOT NULL,
    candidate BLOB,
    at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_id, epoch)
) STRICT;

CREATE TABLE intents (
    intent_id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER,
    error TEXT,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_by_group ON intents (group_id, created_ms);
CREATE INDEX intents_open ON intents (group_id, created_ms) WHERE state NOT IN ('done', 'already', 'failed');

CREATE TABLE feed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sender TEXT,
    message_id BLOB,
    body BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    UNIQUE (group_id, message_id)
) STRICT;
CREATE INDEX feed_by_group ON feed (group_id, seq);
CREATE INDEX feed_by_kind ON feed (group_id, kind, epoch);

CREATE TABLE messages (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    payload BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, message_id)
) STRICT;
CREATE INDEX messages_by_epoch ON messages (group_id, epoch);

CREATE TABLE parked (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (group_id, message_id)
) STRICT;
CREATE INDEX parked_by_epoch ON parked (group_id, epoch);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    recipient TEXT,
    payload BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE key_packages (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    reference BLOB NOT NULL UNIQUE,
    bundle BLOB NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    suite INTEGER NOT NULL DEFAULT 0,
    digest BLOB NOT NULL DEFAULT x'',
    place BLOB NOT NULL DEFAULT x'',
    expires_s INTEGER NOT NULL DEFAULT 0,
    changed_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX key_packages_by_state ON key_packages (state, kind, suite);

CREATE TABLE peers (
    peer_id TEXT PRIMARY KEY,
    addresses BLOB NOT NULL,
    name TEXT NOT NULL
) STRICT;
"""
