"""`conclave init`: a new node, with its folder, keys and configuration file."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.context import common, context
from node.cli.exits import CommandError, Exit, Failure
from node.cli.output import print_facts, print_json
from node.cli.secret import ask_twice, passphrase_fd
from node.cli.settings import given_settings, with_settings

if TYPE_CHECKING:
    from node.config import Config
    from node.vault import Opener


@click.command()
@click.option("--passphrase", "asks", is_flag=True, help="Ask for a passphrase that will open the store.")
@passphrase_fd
@with_settings
@common
def init(asks: bool, passphrase_fd: int | None) -> None:
    """Make a new node: its folder, keys and configuration file.

    The store is encrypted. It opens by a key file [default: DATA_DIR/vault.key] or, with --passphrase or
    --passphrase-fd, by a passphrase. Settings given here are written to the configuration file.
    """
    from node.api.schema import NodeCreated
    from node.data_dir import DataDir
    from node.setup import create_node
    from node.vault import KeyFile

    given, settings = context(), given_settings()
    config_file = given.config_place()
    is_new = not config_file.exists()
    if settings and not is_new:
        raise CommandError(
            Failure(Exit.FAILED, "exists", f"{config_file} exists already", "put the settings there, or remove it")
        )
    config = given.load(settings, ignore_file=is_new)
    data_dir = DataDir(config.data_dir.absolute())
    opener = choose_opener(config, asks, passphrase_fd)
    identity = create_node(data_dir, opener)
    if is_new:
        write_config(config_file, config, settings)
    created = NodeCreated(
        peer_id=identity.peer_id,
        data_dir=os.fspath(data_dir.path),
        config_file=os.fspath(config_file.absolute()),
        opens_by=os.fspath(opener.path) if isinstance(opener, KeyFile) else "passphrase",
        next_command=given.command("run"),
    )
    if given.is_json:
        print_json(created)
        return
    print_facts(
        [
            ("peer id", created.peer_id),
            ("folder", created.data_dir),
            ("settings", created.config_file),
            ("opens by", created.opens_by),
            ("next", created.next_command),
        ]
    )


def choose_opener(config: "Config", asks: bool, descriptor: int | None) -> "Opener":
    """What the new vault will open by; at most one of the ways may be given."""
    from node.vault import KeyFile, Passphrase

    named = [bool(config.vault.key_file), asks, descriptor is not None, config.passphrase_file_path is not None]
    if sum(named) > 1:
        raise click.UsageError("a vault opens by one thing: a key file or one source of a passphrase")
    if asks:
        return Passphrase(ask_twice())
    if descriptor is not None:
        return Passphrase.from_descriptor(descriptor)
    if config.passphrase_file_path is not None:
        return Passphrase.from_file(config.passphrase_file_path)
    return KeyFile(config.key_file_path.absolute())


def write_config(path: Path, config: "Config", keys: Iterable[str]) -> None:
    """A configuration file with what was given at `init`; all else keeps its default."""
    sections: dict[str, list[str]] = {"node": [f"data_dir = {toml(os.fspath(config.data_dir.absolute()))}"]}
    for key in keys:
        section, name = key.split(".")
        sections.setdefault(section, []).append(f"{name} = {toml(getattr(getattr(config, section), name))}")
    lines = ["# Settings of this node. What is not said here has its default."]
    for section, settings in sections.items():
        lines += ["", f"[{section}]", *settings]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def toml(value: str | bool | int | tuple[str, ...]) -> str:
    """A setting's value in TOML, whose strings and lists of them are written as in JSON."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
