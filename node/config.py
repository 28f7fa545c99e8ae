"""The node's configuration: every setting, its default and its bounds.

Defaults < file < ``CONCLAVE_*`` variables < flags. Everything wrong is reported at once, each line with where it
was said; a name nobody knows is an error, because a misspelt setting would otherwise be silently without effect.
``configs/node.toml`` shows every key to the operator. Importing this file is cheap: the CLI does it.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import fields

from node.config_layers import (
    Check,
    Problem,
    Said,
    convert,
    said_in_environment,
    said_in_file,
    said_in_flags,
    settings_of,
)
from node.errors import NodeError
from node.peer_id import PeerIdError, public_key_of

OTHER_VARIABLES: Final = frozenset({"CONCLAVE_CONFIG", "CONCLAVE_VECTORS", "CONCLAVE_REQUIRE_VECTORS"})
"""Variables of this prefix that are no settings: where the file is, and two of the test run."""


RELAY_ADDRESS_SIZE_MAX: Final = 116  # with /p2p-circuit behind it, it has to fit into a card
POST_QUANTUM_SUITE: Final = 0xF050
"""MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519 by its code point in the field; a hybrid is no weaker than X25519."""


class NodeSection(msgspec.Struct, frozen=True, kw_only=True):
    data_dir: str = "~/.conclave"
    name: Annotated[str, Meta(max_length=64)] = ""
    always_on: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"


class NetworkSection(msgspec.Struct, frozen=True, kw_only=True):
    transport: Literal["libp2p"] = "libp2p"
    listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/4840",)
    peers: tuple[str, ...] = ()


class ApiSection(msgspec.Struct, frozen=True, kw_only=True):
    socket: str = ""
    http: str = ""


class OrderingSection(msgspec.Struct, frozen=True, kw_only=True):
    delta_ms: Annotated[int, Meta(ge=10, le=60_000)] = 500
    status_period_ms: Annotated[int, Meta(ge=50, le=600_000)] = 2_000
    status_idle_period_ms: Annotated[int, Meta(ge=50, le=600_000)] = 15_000
    collection_window_ms: Annotated[int, Meta(ge=0, le=1_000)] = 50
    bench_after_s: Annotated[int, Meta(ge=10, le=31_536_000)] = 86_400
    evict_proven: bool = True
    rescue_after_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 3_600


class GroupSection(msgspec.Struct, frozen=True, kw_only=True):
    suite: Annotated[int, Meta(ge=1, le=0xFFFF)] = POST_QUANTUM_SUITE
    padding: Annotated[int, Meta(ge=0, le=4_096)] = 64
    accept: Literal["contacts", "anyone", "nobody"] = "contacts"


class RetentionSection(msgspec.Struct, frozen=True, kw_only=True):
    messages_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    decisions_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    decisions_epochs: Annotated[int, Meta(ge=32, le=10_000_000)] = 1_000
    events: Annotated[int, Meta(ge=100, le=100_000_000)] = 100_000


class MailboxSection(msgspec.Struct, frozen=True, kw_only=True):
    serve: bool = False
    quota_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_024
    topic_quota_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 64
    retention_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    admit: Literal["anyone", "contacts"] = "anyone"
    use: tuple[str, ...] = ()


class DiscoverySection(msgspec.Struct, frozen=True, kw_only=True):
    mdns: bool = False
    rendezvous: tuple[str, ...] = ()
    rendezvous_serve: Literal["no", "contacts", "anyone"] = "no"
    rendezvous_quota: Annotated[int, Meta(ge=1, le=1_000_000)] = 4_096
    relays: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    relay_serve: Literal["no", "contacts", "anyone"] = "no"
    relay_reservations: Annotated[int, Meta(ge=1, le=10_000)] = 64
    relay_circuits: Annotated[int, Meta(ge=1, le=10_000)] = 64
    relay_kbytes_per_s: Annotated[int, Meta(ge=128, le=1_000_000)] = 1_024
    relay_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60
    kademlia: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    kademlia_serve: bool = False
    kademlia_quota: Annotated[int, Meta(ge=1, le=100_000)] = 4_096


class KeyPackagesSection(msgspec.Struct, frozen=True, kw_only=True):
    pool: Annotated[int, Meta(ge=1, le=200)] = 50
    replenish_below: Annotated[int, Meta(ge=1, le=200)] = 20
    rotate_days: Annotated[int, Meta(ge=1, le=60)] = 14
    replicas: tuple[str, ...] = ()
    serve: bool = False
    admit: Literal["anyone", "contacts"] = "anyone"
    quota_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 256


class VaultSection(msgspec.Struct, frozen=True, kw_only=True):
    passphrase_file: str = ""
    key_file: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration. The properties are the paths that follow from it."""

    node: NodeSection = NodeSection()
    network: NetworkSection = NetworkSection()
    api: ApiSection = ApiSection()
    ordering: OrderingSection = OrderingSection()
    group: GroupSection = GroupSection()
    retention: RetentionSection = RetentionSection()
    mailbox: MailboxSection = MailboxSection()
    discovery: DiscoverySection = DiscoverySection()
    key_packages: KeyPackagesSection = KeyPackagesSection()
    vault: VaultSection = VaultSection()

    @property
    def data_dir(self) -> Path:
        return Path(self.node.data_dir).expanduser()

    @property
    def socket_path(self) -> Path:
        return Path(self.api.socket).expanduser() if self.api.socket else self.data_dir / "api.sock"

    @property
    def http_place(self) -> tuple[str, int] | None:
        """Where the API answers over HTTP, address and port; None when it does not."""
        host, _, port = self.api.http.rpartition(":")
        return (host.strip("[]"), int(port)) if self.api.http else None

    @property
    def key_file_path(self) -> Path:
        return Path(self.vault.key_file).expanduser() if self.vault.key_file else self.data_dir / "vault.key"

    @property
    def passphrase_file_path(self) -> Path | None:
        return Path(self.vault.passphrase_file).expanduser() if self.vault.passphrase_file else None


SETTINGS: Final = settings_of({section.name: section.type for section in fields(Config)})
"""Every setting by its key (``node.data_dir``), for whoever makes flags or documentation of them."""


class ConfigError(NodeError):
    """The configuration cannot be used; ``problems`` holds every reason, one per line of the message."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(toml_text: str, environ: Mapping[str, str], flags: Mapping[str, object], *, file: str = "node.toml") -> Config:
    """The configuration said by these three, later ones winning. No I/O; ``file`` only names the text in errors.

    ``flags`` maps keys (``node.data_dir``) to text, a typed value, or None for a flag that was not given.
    """
    try:
        document: dict[str, Any] = tomllib.loads(toml_text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((Problem(file, f"not TOML: {error}"),)) from None
    said: dict[str, Said] = {}
    problems: list[Problem] = []
    for layer in (
        said_in_file(SETTINGS, document, file),
        said_in_environment(SETTINGS, environ, OTHER_VARIABLES),
        said_in_flags(SETTINGS, flags),
    ):
        for item in layer:
            value = convert(SETTINGS, item, CHECKS.get(item.key)) if isinstance(item, Said) else item
            if isinstance(value, Problem):
                problems.append(value)
            else:
                said[value.key] = value
    problems += _contradictions(said)
    if problems:
        raise ConfigError(tuple(problems))
    values: dict[str, dict[str, Any]] = {}
    for item in said.values():
        section, name = item.key.split(".")
        values.setdefault(section, {})[name] = item.value
    return msgspec.convert(values, Config)


def load_file(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """Read the file (None: there is none) and ``load`` it with the other two layers."""
    if path is None:
        return load("", environ, flags)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((Problem(str(path), f"cannot be read: {error}"),)) from error
    return load(text, environ, flags, file=str(path))


def _contradictions(said: Mapping[str, Said]) -> list[Problem]:
    passphrase, key = said.get("vault.passphrase_file"), said.get("vault.key_file")
    if passphrase and key and passphrase.value and key.value:
        return [Problem(f"{passphrase.origin} and {key.origin}", "the vault opens by one of the two; name only one")]
    return []


_ADDRESS: Final = re.compile(
    r"/(ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/(\d{1,5})(?:/p2p/([^/]+)(?:/p2p-circuit/p2p/([^/]+))?)?"
)


def _listen_complaint(addresses: tuple[str, ...]) -> str | None:
    if not addresses:
        return "needs at least one address, like /ip4/0.0.0.0/tcp/4840"
    for address in addresses:
        if (complaint := _address_complaint(address)) is not None:
            return complaint
        if "/p2p/" in address or not address.startswith("/ip"):
            return f"{address}: an address to listen on is /ip4/... or /ip6/... and ends with its port"
    return None


def _peers_complaint(addresses: tuple[str, ...]) -> str | None:
    for address in addresses:
        if (complaint := _address_complaint(address)) is not None:
            return complaint
        if "/p2p/" not in address:
            return f"{address}: a peer's address ends with /p2p/ and its peer id"
    return None


def _relays_complaint(addresses: tuple[str, ...]) -> str | None:
    for address in addresses:
        if "/p2p-circuit" in address:
            return f"{address}: a relay is dialled directly; /p2p-circuit is for who is reached through one"
        if len(address) > RELAY_ADDRESS_SIZE_MAX:
            return f"{address}: longer than {RELAY_ADDRESS_SIZE_MAX} characters, which fits into no contact card"
    return _peers_complaint(addresses)


def _address_complaint(address: str) -> str | None:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return f"{address}: expected a multiaddr like /ip4/192.0.2.7/tcp/4840/p2p/12D3KooW..."
    kind, host, port, *peers = match.groups()
    try:
        if kind in ("ip4", "ip6"):
            (ipaddress.IPv4Address if kind == "ip4" else ipaddress.IPv6Address)(host)
        if int(port) > 65535:
            return f"{address}: port {port} is above 65535"
        for peer_id in filter(None, peers):
            public_key_of(peer_id)
    except (ValueError, PeerIdError) as error:
        return f"{address}: {error}"
    return None


def _http_complaint(place: str) -> str | None:
    if not place:
        return None
    host, _, port = place.rpartition(":")
    example = "expected an address of this machine's loopback, like 127.0.0.1:4849; port 0 takes any free one"
    try:
        is_loopback = ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return f"{place}: {example}"
    if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535 or (":" in host) != host.startswith("["):
        return f"{place}: {example}"
    return None if is_loopback else f"{place}: others could reach it there; {example}"


def _path_complaint(path: str) -> str | None:
    return "a path is needed" if not path.strip() else None


def _name_complaint(name: str) -> str | None:
    return None if name.isprintable() else "only printable characters, please"


CHECKS: Final[Mapping[str, Check]] = {
    "node.data_dir": _path_complaint,
    "node.name": _name_complaint,
    "network.listen": _listen_complaint,
    "api.http": _http_complaint,
    "network.peers": _peers_complaint,
    "mailbox.use": _peers_complaint,
    "discovery.rendezvous": _peers_complaint,
    "discovery.relays": _relays_complaint,
    "discovery.kademlia": _peers_complaint,
    "key_packages.replicas": _peers_complaint,
}
