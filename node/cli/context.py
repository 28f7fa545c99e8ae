"""What every command shares: the global options, the configuration they lead to, and the client of its daemon."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from node.api.operations import Operation, ReplyT, RequestT
    from node.client import Client
    from node.config import Config

CONFIG_NAME = "node.toml"

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass(slots=True)
class Context:
    """The global options, as given so far: they may stand before or after the command's name."""

    data_dir: Path | None = None
    socket: Path | None = None
    config: Path | None = None
    is_json: bool = False

    def flags(self) -> dict[str, object]:
        """The options that are settings, by their key."""
        return {
            "node.data_dir": os.fspath(self.data_dir) if self.data_dir else None,
            "api.socket": os.fspath(self.socket) if self.socket else None,
        }

    def config_place(self) -> Path:
        """Where the configuration file is or would be: as given, else CONCLAVE_CONFIG, else in the data folder."""
        named = self.config or os.environ.get("CONCLAVE_CONFIG")
        if named:
            return Path(named).expanduser()
        from node.config import load

        return load("", os.environ, self.flags()).data_dir / CONFIG_NAME

    def config_path(self) -> Path | None:
        """The configuration file to read; None when none was named and the usual one is not there."""
        place = self.config_place()
        is_named = self.config is not None or bool(os.environ.get("CONCLAVE_CONFIG"))
        return place if is_named or place.exists() else None

    def load(self, settings: Mapping[str, object] | None = None, *, ignore_file: bool = False) -> "Config":
        """The configuration from file, environment, global options and further `settings` by key."""
        from node.config import load_file

        path = None if ignore_file else self.config_path()
        return load_file(path, os.environ, {**self.flags(), **(settings or {})})

    def client(self) -> "Client":
        """The client of the daemon these options name."""
        from node.client import Client

        return Client(self.load().socket_path)

    def call(self, operation: "Operation[RequestT, ReplyT]", request: "RequestT") -> "ReplyT":
        """Do one operation at the daemon."""
        return self.client().call(operation, request)

    def command(self, words: str) -> str:
        """A command a person can copy, with the options that lead to the same node."""
        given = {"--data-dir": self.data_dir, "--socket": self.socket, "--config": self.config}
        options = [f"{name} {shlex.quote(os.fspath(value))}" for name, value in given.items() if value is not None]
        return " ".join(["conclave", *options, words])


def context() -> Context:
    """The running command's options."""
    return click.get_current_context().ensure_object(Context)


def common(command: CommandT) -> CommandT:
    """Give a command the global options."""
    path = click.Path(path_type=Path)
    for option in (
        click.option(
            "--config", type=path, **_kept("config"), help="Configuration file [default: DATA_DIR/node.toml]."
        ),
        click.option(
            "--socket",
            "--api-socket",
            "socket",
            type=path,
            **_kept("socket"),
            help="The daemon's socket [default: DATA_DIR/api.sock].",
        ),
        click.option("--data-dir", type=path, **_kept("data_dir"), help="The node's folder [default: ~/.conclave]."),
        click.option("--json", is_flag=True, **_kept("is_json"), help="Print JSON, for programs."),
    ):
        command = option(command)
    return command


def _kept(name: str) -> dict[str, Any]:
    """Options of click that store the value in the Context instead of passing it on."""

    def keep(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Context), name, value)

    return {"expose_value": False, "callback": keep, "is_eager": True}
