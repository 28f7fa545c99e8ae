"""Making a node's folder, and getting at the key that opens it."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from node.config import Config
from node.data_dir import DataDir, DataDirError
from node.identity import Identity
from node.opening import opener_of
from node.store import Store, open_store
from node.vault import KeyFile, Opener, Random, StoreKey, VaultError, create_vault, open_vault

IDENTITY_ROW: Final = "identity"  # where the store keeps Identity.to_bytes()


def create_node(data_dir: DataDir, opener: Opener, random: Random = os.urandom) -> Identity:
    """Make vault, store and identity in a folder that has none; all of them or nothing.

    Raises ``VaultError`` when the folder holds a node already, and whatever its parts refuse.
    """
    for path in (data_dir.vault_path, data_dir.store_path):
        if path.exists():
            raise VaultError(f"there is a node in {data_dir.path} already ({path.name} exists); nothing was changed")
    with data_dir.locked(), ExitStack() as undo:
        if mode := data_dir.path.stat().st_mode & 0o077:
            path = data_dir.path
            raise DataDirError(f"data directory {path} is open to others ({mode:03o} too much); run: chmod 700 {path}")
        made = [
            data_dir.vault_path,
            *(data_dir.path / f"{data_dir.store_path.name}{end}" for end in ("", "-wal", "-shm")),
        ]
        if isinstance(opener, KeyFile) and not opener.path.exists():
            made.append(opener.path)
        undo.callback(_remove, made)
        key = create_vault(data_dir.vault_path, opener, random)
        identity = Identity.generate(random)
        with open_store(data_dir.store_path, key.value) as store, store.transaction() as transaction:
            transaction.put_meta(IDENTITY_ROW, identity.to_bytes())
        undo.pop_all()
    return identity


def read_identity(store: Store) -> Identity:
    """The node's identity, as ``create_node`` stored it."""
    data = store.meta(IDENTITY_ROW)
    if data is None:
        raise VaultError("the store holds no identity; restore it from a copy, or make a new node with: conclave init")
    return Identity.from_bytes(data)


def open_key(config: Config, descriptor: int | None = None, ask: Callable[[], bytes] | None = None) -> StoreKey:
    """The store's key, by whatever this configuration's vault opens with.

    A passphrase comes from ``descriptor``, else from the configured file, else from ``ask``.
    """
    return open_vault(DataDir(config.data_dir).vault_path, opener_of(config, descriptor, ask))


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
