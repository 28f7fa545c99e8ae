"""The settings of a test network: defaults here, shown and changed in `configs/testnet.toml`."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from node.config import POST_QUANTUM_SUITE, Config, load
from node.errors import NodeError

SETTINGS_FILE: Final = Path(__file__).resolve().parents[2] / "configs" / "testnet.toml"

Milliseconds = Annotated[int, Meta(ge=0, le=60_000)]
Seconds = Annotated[float, Meta(gt=0, le=600)]
Count = Annotated[int, Meta(ge=1, le=1000)]


class SettingsError(NodeError):
    """The settings file cannot be used; the message says what is wrong and where."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: a key nobody knows is an error, not a silence."""


class NodesSection(Section, frozen=True, kw_only=True):
    suite: Annotated[int, Meta(ge=1, le=0xFFFF)] = POST_QUANTUM_SUITE
    committee_max: Annotated[int, Meta(ge=1, le=31)] = 7
    delta_ms: Milliseconds = 250
    status_period_ms: Milliseconds = 500
    status_idle_period_ms: Milliseconds = 2_000
    collection_window_ms: Milliseconds = 50
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ScriptSection(Section, frozen=True, kw_only=True):
    quiet_changes: Annotated[int, Meta(ge=0, le=10_000)] = 40
    messages_per_round: Count = 4
    changes_while_away: Count = 1


class LimitsSection(Section, frozen=True, kw_only=True):
    start_s: Seconds = 30.0
    step_s: Seconds = 30.0
    drain_s: Seconds = 30.0
    stop_s: Seconds = 5.0


class Settings(Section, frozen=True, kw_only=True):
    """Everything about a test network that is no option of the command."""

    nodes: NodesSection = NodesSection()
    script: ScriptSection = ScriptSection()
    limits: LimitsSection = LimitsSection()

    def config_of(
        self, *, name: str, data_dir: Path, port: int, peers: Sequence[str], more: Mapping[str, object] | None = None
    ) -> Config:
        """The configuration of one node: on loopback, always on, and nothing from the user's own environment.

        `more` are settings by key that this node has otherwise.
        """
        flags: Mapping[str, object] = {
            "node.data_dir": str(data_dir),
            "node.name": name,
            "node.always_on": True,
            "node.log_level": self.nodes.log_level,
            "network.listen": (f"/ip4/127.0.0.1/tcp/{port}",),
            "network.peers": tuple(peers),
            "ordering.delta_ms": self.nodes.delta_ms,
            "ordering.status_period_ms": self.nodes.status_period_ms,
            "ordering.status_idle_period_ms": self.nodes.status_idle_period_ms,
            "ordering.collection_window_ms": self.nodes.collection_window_ms,
            "group.suite": self.nodes.suite,
            "group.accept": "anyone",
            **(more or {}),
        }
        return load("", {}, flags)


def read_settings(path: Path = SETTINGS_FILE) -> Settings:
    """What the file says; the defaults where there is none, as in an installed package. Raises `SettingsError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    try:
        return msgspec.convert(tomllib.loads(text), Settings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{path}: {error}") from error
