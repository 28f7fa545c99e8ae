"""`conclave init`, on a real folder: what it makes, what it refuses, and that nothing is half made."""

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node import setup
from node.cli.root import root
from node.config import load_file
from node.data_dir import DataDir
from node.setup import create_node, open_key, read_identity
from node.store import open_store
from node.vault import Cost, KeyFile, Passphrase, StoreKey, VaultError, WrongKeyError, create_vault


@pytest.fixture(autouse=True)
def _quick_vaults_and_no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase's cost is the vault's own test."""

    def quick(path: Path, opener: Passphrase | KeyFile, random: object) -> StoreKey:
        return create_vault(path, opener, os.urandom, Cost(memory_kib=64, iterations=1, lanes=1))

    monkeypatch.setattr(setup, "create_vault", quick)
    for name in list(os.environ):
        if name.startswith("CONCLAVE_"):
            monkeypatch.delenv(name)


def conclave(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(root, words, input=stdin)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def descriptor_with(text: bytes) -> int:
    """A pipe's end to read `text` from."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def test_a_new_node_has_everything_it_needs(tmp_path: Path) -> None:
    """Folder 0700, secrets 0600, an identity in the store, and a configuration file that can be read back."""
    folder = tmp_path / "alice"

    result = conclave(
        "init", "--data-dir", str(folder), "--name", 'Al"ice ü', "--network-listen", "/ip4/127.0.0.1/tcp/0"
    )

    assert result.exit_code == 0, result.output
    assert mode(folder) == 0o700
    assert [mode(folder / name) for name in ("vault", "vault.key", "store.db")] == [0o600] * 3
    config = load_file(folder / "node.toml", {}, {})
    assert config.data_dir == folder
    assert config.node.name == 'Al"ice ü'
    assert config.network.listen == ("/ip4/127.0.0.1/tcp/0",)
    with open_store(folder / "store.db", open_key(config).value, read_only=True) as store:
        assert read_identity(store).peer_id in result.output
    assert f"conclave --data-dir {folder} run" in result.output


def test_json_says_the_same(tmp_path: Path) -> None:
    """For scripts that make many."""
    made = json.loads(conclave("init", "--data-dir", str(tmp_path / "n"), "--json").stdout)

    assert made["peer_id"].startswith("12D3KooW")
    assert made["opens_by"] == str(tmp_path / "n" / "vault.key")
    assert made["config_file"] == str(tmp_path / "n" / "node.toml")


def test_a_node_is_never_overwritten(tmp_path: Path) -> None:
    """Its keys exist once."""
    folder = tmp_path / "n"
    conclave("init", "--data-dir", str(folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    result = conclave("init", "--data-dir", str(folder))

    assert result.exit_code == 1
    assert "there is a node in" in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_prepared_configuration_file_is_used_and_left_alone(tmp_path: Path) -> None:
    """It may come from an administrator; settings on the command line would be lost, so they are refused."""
    folder = tmp_path / "n"
    file = tmp_path / "mine.toml"
    file.write_text(f'[node]\ndata_dir = "{folder}"\nname = "prepared"\n')

    refused = conclave("init", "--config", str(file), "--name", "other")
    made = conclave("init", "--config", str(file))

    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert made.exit_code == 0
    assert (folder / "vault").exists()
    assert not (folder / "node.toml").exists()
    assert 'name = "prepared"' in file.read_text()
    assert f"conclave --config {file} run" in made.output


def test_a_new_configuration_file_goes_where_it_is_named(tmp_path: Path) -> None:
    """`--config` of a file that is not there yet."""
    file = tmp_path / "etc" / "node.toml"

    result = conclave("init", "--config", str(file), "--data-dir", str(tmp_path / "n"))

    assert result.exit_code == 0, result.output
    assert load_file(file, {}, {}).data_dir == tmp_path / "n"


@pytest.mark.parametrize("way", ["fd", "prompt", "file"])
def test_a_passphrase_opens_what_it_was_given_for(tmp_path: Path, way: str) -> None:
    """From a descriptor, a prompt or a file; never from an argument."""
    folder = tmp_path / "n"
    words = ["init", "--data-dir", str(folder)]
    stdin = None
    if way == "fd":
        words += ["--passphrase-fd", str(descriptor_with(b"open sesame\n"))]
    elif way == "prompt":
        words += ["--passphrase"]
        stdin = "open sesame\nopen sesame\n"
    else:
        (tmp_path / "secret").write_text("open sesame\n")
        (tmp_path / "secret").chmod(0o600)
        words += ["--vault-passphrase-file", str(tmp_path / "secret")]

    result = CliRunner().invoke(root, words, input=stdin)

    assert result.exit_code == 0, result.output
    assert "open sesame" not in result.output
    assert not (folder / "vault.key").exists()
    config = load_file(folder / "node.toml", {}, {"vault.passphrase_file": ""})
    key = open_key(config, descriptor_with(b"open sesame"))
    assert open_key(config, None, lambda: b"open sesame") == key
    with pytest.raises(WrongKeyError):
        open_key(config, None, lambda: b"open barley")
    with pytest.raises(VaultError, match="--passphrase-fd"):
        open_key(config)


def test_two_ways_to_open_are_one_too_many(tmp_path: Path) -> None:
    """The user would not know which of them counts."""
    result = conclave("init", "--data-dir", str(tmp_path / "n"), "--passphrase", "--key-file", str(tmp_path / "k"))

    assert result.exit_code == 2
    assert not (tmp_path / "n").exists()


def test_a_key_file_may_lie_elsewhere(tmp_path: Path) -> None:
    """On other media it protects; it is used again if it is there."""
    key_file = tmp_path / "stick.key"
    for name in ("a", "b"):
        result = conclave("init", "--data-dir", str(tmp_path / name), "--key-file", str(key_file))
        assert result.exit_code == 0, result.output
        assert not (tmp_path / name / "vault.key").exists()
        open_key(load_file(tmp_path / name / "node.toml", {}, {}))

    assert mode(key_file) == 0o600


def test_a_failed_init_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a node would be refused by the next attempt."""

    def no_disk(*_: object, **__: object) -> None:
        raise OSError("disk is gone")

    monkeypatch.setattr(setup, "open_store", no_disk)
    data_dir = DataDir(tmp_path / "n")

    with pytest.raises(OSError, match="disk is gone"):
        create_node(data_dir, KeyFile(data_dir.path / "vault.key"))
    monkeypatch.undo()

    assert [path.name for path in data_dir.path.iterdir()] == ["lock"]
    create_node(data_dir, KeyFile(data_dir.path / "vault.key"))


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    """Names and sizes in it would tell on its owner."""
    (tmp_path / "n").mkdir(mode=0o755)

    result = conclave("init", "--data-dir", str(tmp_path / "n"))

    assert result.exit_code == 1
    assert f"chmod 700 {tmp_path}/n" in result.stderr
