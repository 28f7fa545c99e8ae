"""The vault: who has the passphrase or the key file gets the store key, nobody else, and nothing is overwritten."""

import os
from pathlib import Path

import msgspec
import pytest

from node.errors import NoNodeError
from node.secret_files import SecretFileError
from node.vault import Cost, KeyFile, Passphrase, VaultError, WrongKeyError, create_vault, open_vault, vault_mode

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
RIGHT = Passphrase(b"correct horse battery staple")


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def test_the_passphrase_opens_the_vault_again(vault: Path) -> None:
    key = create_vault(vault, RIGHT, os.urandom, CHEAP)
    assert len(key.value) == 32
    assert open_vault(vault, RIGHT) == key
    assert vault_mode(vault) == "passphrase"


def test_the_default_cost_is_the_one_decided_on() -> None:
    assert Cost() == Cost(memory_kib=64 * 1024, iterations=3, lanes=4)


def test_a_wrong_passphrase_is_a_clear_error_without_a_secret(vault: Path) -> None:
    create_vault(vault, RIGHT, os.urandom, CHEAP)
    with pytest.raises(WrongKeyError, match="this passphrase does not open vault") as caught:
        open_vault(vault, Passphrase(b"correct horse battery stable"))
    assert "stable" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_key_file_is_created_once_and_opens_the_vault(vault: Path, tmp_path: Path) -> None:
    key_file = KeyFile(tmp_path / "vault.key")
    key = create_vault(vault, key_file, os.urandom)
    assert key_file.path.stat().st_mode & 0o777 == vault.stat().st_mode & 0o777 == 0o600
    assert open_vault(vault, key_file) == key
    assert vault_mode(vault) == "key-file"
    other = create_vault(tmp_path / "second", key_file, os.urandom)
    assert other != key
    assert open_vault(vault, key_file) == key


def test_the_wrong_key_file_is_named(vault: Path, tmp_path: Path) -> None:
    create_vault(vault, KeyFile(tmp_path / "right"), os.urandom)
    create_vault(tmp_path / "other", KeyFile(tmp_path / "wrong"), os.urandom)
    with pytest.raises(WrongKeyError, match=r"key file .*wrong does not open vault"):
        open_vault(vault, KeyFile(tmp_path / "wrong"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_key_file_open_to_others_is_refused_with_the_remedy(vault: Path, tmp_path: Path, mode: int) -> None:
    key_file = KeyFile(tmp_path / "vault.key")
    create_vault(vault, key_file, os.urandom)
    key_file.path.chmod(mode)
    with pytest.raises(SecretFileError, match=r"is open to others .*run: chmod 600 .*vault\.key"):
        open_vault(vault, key_file)


def test_a_vault_is_never_overwritten(vault: Path, tmp_path: Path) -> None:
    key = create_vault(vault, RIGHT, os.urandom, CHEAP)
    with pytest.raises(VaultError, match="exists already"):
        create_vault(vault, RIGHT, os.urandom, CHEAP)
    assert open_vault(vault, RIGHT) == key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vault"]


def test_the_other_kind_of_opener_is_told_which_one_is_needed(vault: Path, tmp_path: Path) -> None:
    create_vault(vault, RIGHT, os.urandom, CHEAP)
    with pytest.raises(VaultError, match="opens by a passphrase"):
        open_vault(vault, KeyFile(tmp_path / "vault.key"))
    create_vault(tmp_path / "second", KeyFile(tmp_path / "vault.key"), os.urandom)
    with pytest.raises(VaultError, match="opens by a key file"):
        open_vault(tmp_path / "second", RIGHT)


def test_a_missing_vault_is_a_missing_node(vault: Path) -> None:
    with pytest.raises(NoNodeError, match="there is no node in"):
        open_vault(vault, RIGHT)


def test_any_single_byte_flipped_is_refused(vault: Path) -> None:
    create_vault(vault, RIGHT, os.urandom, CHEAP)
    good = vault.read_bytes()
    for at in range(len(good)):
        vault.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises((VaultError, SecretFileError)):
            open_vault(vault, RIGHT)


@pytest.mark.parametrize("at", range(4))
def test_a_mode_that_is_no_text_is_refused(vault: Path, at: int) -> None:
    """Damaged text fails in a way of its own in the decoder; it is a damaged vault all the same."""
    create_vault(vault, RIGHT, os.urandom, CHEAP)
    good = vault.read_bytes()
    mode = good.index(b"passphrase")
    vault.write_bytes(good[: mode + at] + b"\xc4" + good[mode + at + 1 :])
    with pytest.raises(VaultError, match="damaged"):
        open_vault(vault, RIGHT)


def test_an_unknown_version_is_refused_naming_both(vault: Path) -> None:
    header = msgspec.msgpack.encode((7, "quantum", "something else"))
    vault.write_bytes(msgspec.msgpack.encode((header, bytes(12), bytes(48))))
    vault.chmod(0o600)
    with pytest.raises(VaultError, match="has version 7; this program reads version 1"):
        open_vault(vault, RIGHT)


def test_a_damaged_file_cannot_make_us_spend_the_machine(vault: Path) -> None:
    for cost in ((2**40, 1, 1), (64, 2**31, 1), (64, 1, 2**20), (1, 1, 1), (64, 0, 1)):
        header = msgspec.msgpack.encode((1, "passphrase", bytes(16), cost))
        vault.write_bytes(msgspec.msgpack.encode((header, bytes(12), bytes(48))))
        vault.chmod(0o600)
        with pytest.raises(VaultError, match="damaged"):
            open_vault(vault, RIGHT)


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"00" * 33, b"\xff" * 32, b"0" * 5000])
def test_a_file_that_is_no_key_file_is_refused(vault: Path, tmp_path: Path, content: bytes) -> None:
    key_file = tmp_path / "vault.key"
    key_file.write_bytes(content)
    key_file.chmod(0o600)
    with pytest.raises(SecretFileError):
        create_vault(vault, KeyFile(key_file), os.urandom)
    assert not vault.exists()


def test_a_passphrase_comes_from_a_file_or_a_descriptor_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"open sesame\r\nsecond line\n")
    path.chmod(0o600)
    assert Passphrase.from_file(path) == Passphrase(b"open sesame")
    reading, writing = os.pipe()
    os.write(writing, b"open sesame\n")
    os.close(writing)
    assert Passphrase.from_descriptor(reading) == Passphrase(b"open sesame")
    path.chmod(0o644)
    with pytest.raises(SecretFileError, match="chmod 600"):
        Passphrase.from_file(path)
    path.chmod(0o600)
    path.write_bytes(b"\nsesame")
    with pytest.raises(VaultError, match="holds no passphrase"):
        Passphrase.from_file(path)
    with pytest.raises(VaultError, match="file descriptor 987 cannot be read"):
        Passphrase.from_descriptor(987)


def test_secrets_do_not_show_in_a_repr(vault: Path) -> None:
    key = create_vault(vault, RIGHT, os.urandom, CHEAP)
    assert repr(key) == "StoreKey()"
    assert repr(RIGHT) == "Passphrase()"


def test_neither_key_nor_passphrase_is_in_the_file(vault: Path) -> None:
    key = create_vault(vault, RIGHT, os.urandom, CHEAP)
    assert key.value not in vault.read_bytes()
    assert RIGHT.value not in vault.read_bytes()
