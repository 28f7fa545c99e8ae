"""What opens a node's vault, as configuration, file descriptor or user say. Cheap: nothing is opened here."""

from collections.abc import Callable

from node.config import Config
from node.data_dir import DataDir
from node.vault import KeyFile, Opener, Passphrase, VaultError, vault_mode


def opener_of(config: Config, descriptor: int | None = None, ask: Callable[[], bytes] | None = None) -> Opener:
    """The key file, or the passphrase: from ``descriptor``, else from the configured file, else from ``ask``."""
    if descriptor is not None:
        return Passphrase.from_descriptor(descriptor)
    vault_path = DataDir(config.data_dir).vault_path
    if vault_mode(vault_path) == "key-file":
        return KeyFile(config.key_file_path)
    if config.passphrase_file_path is not None:
        return Passphrase.from_file(config.passphrase_file_path)
    if ask is None:
        raise VaultError(f"vault {vault_path} opens by a passphrase: give --passphrase-fd or vault.passphrase_file")
    return Passphrase(ask())
