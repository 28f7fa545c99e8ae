"""The settings as flags of `init` and `run`: `network.listen` is `--network-listen`.

Their names stand here a second time so that `--help` need not load the configuration; a test compares the two.
"""

from typing import Any

import click

from node.cli.context import CommandT

SETTINGS = {
    "node.name": "What this node is called in its own listings.",
    "node.always_on": "Always reachable: opt in as a voter.",
    "node.log_level": "debug, info, warning or error.",
    "node.log_format": "console or json.",
    "network.transport": "libp2p.",
    "network.listen": "Multiaddrs to listen on, separated by commas.",
    "network.peers": "Multiaddrs to stay connected to, separated by commas.",
    "api.http": "Answer over HTTP too, on loopback: 127.0.0.1:4849.",
    "ordering.delta_ms": "Expected longest delay between voters.",
    "ordering.status_period_ms": "How often voters repeat themselves while deciding.",
    "ordering.status_idle_period_ms": "How often they say that they are there.",
    "ordering.collection_window_ms": "A leader's longest wait for rival changes.",
    "ordering.bench_after_s": "A voter unheard for so long is passed over.",
    "ordering.evict_proven": "Remove who is proven to have lied as a voter.",
    "group.suite": "Cipher suite of groups created here.",
    "group.padding": "Messages are padded to a multiple of so many bytes.",
    "group.accept": "Who may add this node to groups unasked: contacts, anyone or nobody.",
    "ordering.rescue_after_s": "Missing a quorum so long, endorse another member's successor.",
    "key_packages.pool": "One-time key packages kept ready for each cipher suite.",
    "key_packages.replenish_below": "Filled up again when fewer are left.",
    "key_packages.rotate_days": "Replaced so many days before they expire.",
    "key_packages.replicas": "Multiaddrs of who hands them out while this node is away.",
    "key_packages.serve": "Hand out others' key packages.",
    "key_packages.admit": "Whose, when serving: anyone or contacts.",
    "key_packages.quota_mb": "How much of them is kept in all.",
    "retention.messages_days": "How long encrypted messages are kept.",
    "retention.decisions_days": "How long what was decided is kept.",
    "retention.decisions_epochs": "How many epochs of it are kept in any case.",
    "retention.events": "How many events are kept for programs that follow them.",
    "mailbox.serve": "Keep what members of other groups miss, as a mailbox.",
    "mailbox.quota_mb": "How much a mailbox here keeps in all.",
    "mailbox.topic_quota_mb": "How much of it for one group.",
    "mailbox.retention_days": "How long at most.",
    "mailbox.admit": "For whom notes are kept, when serving: anyone or contacts.",
    "mailbox.use": "Mailboxes of this node, multiaddrs with peer ids, separated by commas.",
    "discovery.mdns": "Find contacts on the local network, and be found there.",
    "discovery.rendezvous": "Nodes to ask where others are, multiaddrs with peer ids, separated by commas.",
    "discovery.rendezvous_serve": "Be such a node: for contacts, anyone or no one (no).",
    "discovery.rendezvous_quota": "For how many peers at most.",
    "discovery.relays": "Relays through which this node is reached, multiaddrs with peer ids, separated by commas.",
    "discovery.relay_serve": "Be a relay: for contacts, anyone or no one (no).",
    "discovery.relay_reservations": "For how many nodes at most.",
    "discovery.relay_circuits": "How many connections it carries at once.",
    "discovery.relay_kbytes_per_s": "How much of each in a second.",
    "discovery.relay_minutes": "How long each lasts.",
    "discovery.kademlia": "Nodes by which to enter a public table of where peers are.",
    "discovery.kademlia_serve": "Keep a part of that table.",
    "discovery.kademlia_quota": "Of how many peers at most.",
    "vault.passphrase_file": "A file, mode 0600, that holds the passphrase.",
    "vault.key_file": "The key file that opens the vault.",
}
"""Every setting that is not a global option, and its help."""

GLOBAL = frozenset({"node.data_dir", "api.socket"})
SWITCHES = frozenset(
    {
        "node.always_on",
        "ordering.evict_proven",
        "mailbox.serve",
        "discovery.mdns",
        "discovery.kademlia_serve",
        "key_packages.serve",
    }
)
OWN_FLAGS = {"vault.key_file": "--key-file"}  # where `--vault-key-file` would be an odd word


def with_settings(command: CommandT) -> CommandT:
    """Give a command a flag for every setting; it gets those given as `settings`, text by key."""
    for key, text in reversed(SETTINGS.items()):
        name = OWN_FLAGS.get(key) or "--" + key.removeprefix("node.").replace(".", "-").replace("_", "-")
        declaration = f"{name}/--no-{name[2:]}" if key in SWITCHES else name
        metavar = None if key in SWITCHES else "VALUE"
        option = click.option(
            declaration, expose_value=False, default=None, metavar=metavar, help=text, callback=_kept(key)
        )
        command = option(command)
    return command


def _kept(key: str) -> Any:
    def keep(ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
        if value is not None:
            ctx.meta.setdefault("settings", {})[key] = value

    return keep


def given_settings() -> dict[str, object]:
    """The settings given as flags of the running command, by key."""
    given: dict[str, object] = click.get_current_context().meta.get("settings", {})
    return given
