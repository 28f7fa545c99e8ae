"""Configuration: the four layers, and that every mistake is reported with its origin."""

import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from node.config import SETTINGS, Config, ConfigError, load, load_file
from node.config_layers import flag_name, variable_name

ROOT = Path(__file__).resolve().parents[2]
PEER = "/ip4/192.0.2.7/tcp/4840/p2p/12D3KooWJXqi7NLPsbFvuyfZGmG9YvEVYixDgggQzbY8N8FVX6EP"


def problems(toml_text: str = "", environ: dict[str, str] | None = None, **flags: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(toml_text, environ or {}, flags)
    return str(caught.value).splitlines()


def test_the_example_file_names_every_setting_with_its_default() -> None:
    """The file is the operator's documentation: a key missing in it is a key nobody finds."""
    text = (ROOT / "configs" / "node.toml").read_text()
    document = tomllib.loads(text)

    assert {f"{section}.{name}" for section, table in document.items() for name in table} == set(SETTINGS)
    assert load(text, {}, {}) == Config()


def test_every_line_of_the_example_file_says_what_its_setting_means() -> None:
    lines = (ROOT / "configs" / "node.toml").read_text().splitlines()
    for line in lines:
        if " = " in line and not line.startswith("#"):
            assert "  # " in line, line


def test_flags_win_over_variables_over_the_file_over_defaults() -> None:
    toml_text = '[node]\nname = "file"\nlog_level = "error"\nlog_format = "json"'
    environ = {"CONCLAVE_NODE_NAME": "variable", "CONCLAVE_NODE_LOG_LEVEL": "warning"}
    config = load(toml_text, environ, {"node.name": "flag", "node.always_on": None})

    assert config.node.name == "flag"
    assert config.node.log_level == "warning"
    assert config.node.log_format == "json"
    assert config.node.always_on is False


def test_text_from_variables_and_flags_is_read_by_the_type_of_its_setting() -> None:
    config = load(
        "",
        {"CONCLAVE_NETWORK_PEERS": f"{PEER}, {PEER}", "CONCLAVE_NODE_ALWAYS_ON": "yes"},
        {"ordering.delta_ms": "40", "network.listen": ("/ip6/::1/tcp/0",), "group.suite": 7},
    )

    assert config.network.peers == (PEER, PEER)
    assert config.node.always_on is True
    assert config.ordering.delta_ms == 40
    assert config.network.listen == ("/ip6/::1/tcp/0",)
    assert config.group.suite == 7


def test_every_mistake_is_reported_at_once_with_its_origin() -> None:
    """Fixing a configuration one error per start is a bad evening."""
    found = problems(
        'nod = 1\n[node]\ndata_dri = "x"\nalways_on = 3\n[ordering]\ndelta_ms = 1\n[network]\npeers = ["/ip4/1.2.3.4"]',
        {"CONCLAVE_NODE_NAM": "x", "CONCLAVE_GROUP_SUITE": "nine", "OTHER": "ignored"},
        **{"node.log_level": "inof"},
    )

    assert found == [
        "node.toml: nod: no such section; did you mean node?",
        "node.toml: node.data_dri: no such setting; did you mean node.data_dir?",
        "node.toml: node.always_on: expected bool, got int",
        "node.toml: ordering.delta_ms: expected int >= 10, got 1",
        "node.toml: network.peers: /ip4/1.2.3.4: expected a multiaddr like /ip4/192.0.2.7/tcp/4840/p2p/12D3KooW...",
        "CONCLAVE_GROUP_SUITE: expected a whole number, got 'nine'",
        "CONCLAVE_NODE_NAM: no such setting; did you mean CONCLAVE_NODE_NAME?",
        "--log-level: 'inof' is not one of debug, info, warning, error; did you mean info?",
    ]


def test_a_wrong_value_is_reported_even_where_a_better_one_wins() -> None:
    """Otherwise the file breaks on the day the variable goes away."""
    assert problems("[group]\nsuite = 99999", {"CONCLAVE_GROUP_SUITE": "1"}) == [
        "node.toml: group.suite: expected int <= 65535, got 99999"
    ]


@pytest.mark.parametrize(
    ("setting", "address", "complaint"),
    [
        ("listen", "/ip4/300.0.0.1/tcp/1", "Octet 300"),
        ("listen", "/ip4/127.0.0.1/tcp/70000", "above 65535"),
        ("listen", "/dns/example.org/tcp/1", "to listen on"),
        ("listen", PEER, "to listen on"),
        ("peers", "/ip4/127.0.0.1/tcp/1", "its peer id"),
        ("peers", PEER[:-1], "not the peer id"),
        ("peers", PEER + "0", "not a peer id"),
        ("peers", "127.0.0.1:4840", "expected a multiaddr"),
        ("peers", f"{PEER}/p2p-circuit", "expected a multiaddr"),
        ("peers", f"{PEER}/p2p-circuit/p2p/{PEER[-52:-1]}", "not the peer id"),
    ],
)
def test_addresses_are_checked_before_anything_starts(setting: str, address: str, complaint: str) -> None:
    (line,) = problems(f'[network]\n{setting} = ["{address}"]')
    assert line.startswith(f"node.toml: network.{setting}: {address}: ")
    assert complaint in line


def test_a_peer_may_be_behind_a_relay_and_a_relay_may_not() -> None:
    behind = f"{PEER}/p2p-circuit/p2p/{PEER[-52:]}"
    assert load(f'[network]\npeers = ["{behind}"]', {}, {}).network.peers == (behind,)
    (line,) = problems(f'[discovery]\nrelays = ["{behind}"]')
    assert "a relay is dialled directly" in line
    (line,) = problems(f'[discovery]\nrelays = ["/dns/{"x" * 60}.example.org/tcp/4840/p2p/{PEER[-52:]}"]')
    assert "which fits into no contact card" in line


def test_a_node_needs_an_address_to_listen_on() -> None:
    assert "at least one" in problems("[network]\nlisten = []")[0]


def test_two_ways_to_open_the_vault_are_a_contradiction_that_names_both_origins() -> None:
    assert problems('[vault]\nkey_file = "k"', {"CONCLAVE_VAULT_PASSPHRASE_FILE": "p"}) == [
        "CONCLAVE_VAULT_PASSPHRASE_FILE and node.toml: vault.key_file: the vault opens by one of the two; name only one"
    ]


def test_text_that_is_no_toml_is_named_with_its_line() -> None:
    assert problems("[node\n")[0].startswith("node.toml: not TOML: ")
    assert "line 1" in problems("[node\n")[0]


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_file(tmp_path / "none.toml", {}, {})
    (tmp_path / "node.toml").write_text("[node]\nname = 1")
    with pytest.raises(ConfigError, match=r"node\.toml: node\.name: expected str, got int"):
        load_file(tmp_path / "node.toml", {}, {})
    assert load_file(None, {}, {}) == Config()


def test_paths_follow_the_data_directory_unless_named() -> None:
    config = load("", {}, {"node.data_dir": "/srv/conclave"})
    assert config.socket_path == Path("/srv/conclave/api.sock")
    assert config.key_file_path == Path("/srv/conclave/vault.key")
    assert config.passphrase_file_path is None
    named = load("", {}, {"api.socket": "/run/c.sock", "vault.passphrase_file": "~/p"})
    assert named.socket_path == Path("/run/c.sock")
    assert named.passphrase_file_path == Path("~/p").expanduser()


def test_every_setting_has_a_variable_and_a_flag_of_its_own() -> None:
    assert variable_name("node.data_dir") == "CONCLAVE_NODE_DATA_DIR"
    assert flag_name("node.data_dir") == "--data-dir"
    assert flag_name("api.socket") == "--api-socket"
    assert len({variable_name(key) for key in SETTINGS}) == len({flag_name(key) for key in SETTINGS}) == len(SETTINGS)


def test_a_configuration_is_a_value() -> None:
    with pytest.raises(AttributeError):
        Config().node = Config().node  # type: ignore[misc]
    assert msgspec.structs.replace(Config().node, name="x").name == "x"


def test_importing_the_configuration_stays_cheap() -> None:
    """The command line imports it for every call; libp2p alone would cost seconds."""
    code = "import sys, node.config; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not {"trio", "libp2p", "mls", "ordering", "cryptography", "apsw", "structlog"} & set(loaded.split())
