"""The settings of a test network, and the file that shows them."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from node.testnet.settings import SETTINGS_FILE, Settings, SettingsError, read_settings


def test_the_file_shows_every_setting_with_its_default() -> None:
    """What it says and what holds without it are the same, key by key."""
    shown = tomllib.loads(SETTINGS_FILE.read_text())

    assert shown == msgspec.to_builtins(Settings())


def test_every_setting_is_explained() -> None:
    """One line of meaning each."""
    lines = [line for line in SETTINGS_FILE.read_text().splitlines() if "=" in line and not line.startswith("#")]

    assert lines
    for line in lines:
        assert len(line.partition("#")[2].strip()) > 10, line


def test_without_the_file_the_defaults_hold(tmp_path: Path) -> None:
    """An installed package has no configs folder."""
    assert read_settings(tmp_path / "none.toml") == Settings()


@pytest.mark.parametrize(
    "text",
    ["[nodes]\ndelta_sm = 3\n", "[nodes]\ndelta_ms = 'x'\n", "[limits]\nstep_s = 0\n", "not toml", "[nowhere]\n"],
)
def test_what_nobody_understands_is_refused(tmp_path: Path, text: str) -> None:
    """By the file's name, and where."""
    path = tmp_path / "testnet.toml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=r"testnet\.toml"):
        read_settings(path)


def test_a_nodes_configuration_owes_nothing_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the user's own node must not leak into the test network."""
    monkeypatch.setenv("CONCLAVE_NODE_NAME", "mine")

    config = Settings().config_of(name="node 1", data_dir=tmp_path, port=20_000, peers=())

    assert config.node.name == "node 1"
    assert config.node.always_on
    assert config.network.listen == ("/ip4/127.0.0.1/tcp/20000",)
    assert config.data_dir == tmp_path
