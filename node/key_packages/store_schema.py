"""The tables of a replica of others' key packages: a file of its own, beside the node's store and apart from it."""

from collections.abc import Mapping
from typing import Final

REPLICA_SCHEMA_VERSION: Final = 1

REPLICA_MIGRATIONS: Mapping[int, str] = {}

REPLICA_SCHEMA: Final = """
CREATE TABLE owners (
    owner BLOB PRIMARY KEY,
    replicas BLOB NOT NULL, -- the id of the set that its manifest is for
    serial INTEGER NOT NULL,
    is_known INTEGER NOT NULL, -- 1: a contact of this node's user
    bytes INTEGER NOT NULL, -- what it costs here
    at_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE packages (
    owner BLOB NOT NULL,
    digest BLOB NOT NULL,
    suite INTEGER NOT NULL,
    is_last_resort INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    body BLOB, -- NULL: not brought yet, or granted and withdrawn
    claimer BLOB, -- the hash of the nonce of the claim it was granted to; NULL: nobody's
    granted_s INTEGER NOT NULL,
    withdrawn_s INTEGER NOT NULL, -- 0: in its owner's manifest
    PRIMARY KEY (owner, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX packages_granted ON packages (owner, granted_s) WHERE claimer IS NOT NULL;
CREATE INDEX packages_by_expiry ON packages (expires_s);
"""
