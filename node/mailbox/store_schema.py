"""The tables of a mailbox: a file of its own, beside the node's store and apart from it."""

from collections.abc import Mapping
from typing import Final

MAILBOX_SCHEMA_VERSION: Final = 1

MAILBOX_MIGRATIONS: Mapping[int, str] = {}

MAILBOX_SCHEMA: Final = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- Whose room it is: a certified chain, or a topic that belongs to none that is known here.
CREATE TABLE owners (
    number INTEGER PRIMARY KEY,
    group_id BLOB, -- NULL: a lone topic
    anchor BLOB, -- what follows the last verified entry: ordering.Anchor
    bytes INTEGER NOT NULL,
    at_s INTEGER NOT NULL
) STRICT;
CREATE INDEX owners_by_group ON owners (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE topics (
    number INTEGER PRIMARY KEY,
    topic BLOB NOT NULL UNIQUE,
    owner INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    released INTEGER NOT NULL,
    at_s INTEGER NOT NULL
) STRICT;
CREATE INDEX topics_by_owner ON topics (owner);

CREATE TABLE entries (
    topic INTEGER NOT NULL,
    decided BLOB NOT NULL,
    continues INTEGER NOT NULL, -- whether it followed what was known of its chain
    entry BLOB NOT NULL,
    PRIMARY KEY (topic, decided)
) STRICT, WITHOUT ROWID;

CREATE TABLE items (
    arrival INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    rank INTEGER NOT NULL, -- 1: said to be a decided bundle
    at_s INTEGER NOT NULL,
    id BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX items_by_id ON items (topic, id);
CREATE INDEX items_decided ON items (topic) WHERE rank = 1;
"""
