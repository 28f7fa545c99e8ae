"""The scenario `offline`: four members of whom never more than two are awake, and two blind mailboxes.

All six are real daemons on loopback. The mailboxes are in no group and are known to nobody but by `mailbox.use`.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec import Struct

from node.data_dir import DataDir
from node.errors import NodeError
from node.setup import create_node, open_key
from node.testnet.demo import read_all
from node.testnet.figures import Figures
from node.testnet.network import Network
from node.testnet.offline_checks import checks
from node.testnet.offline_script import FULL, QUICK, OfflineScript, Size
from node.testnet.processes import NodeProcess, Processes, free_ports
from node.testnet.replica_evidence import read_replica
from node.testnet.settings import Settings, read_settings
from node.testnet.stage import imported, open_stage
from node.testnet.story import Story, write_story
from node.testnet.verdict import Line, Verdict, in_lines, judge
from node.vault import KeyFile

MEMBERS: Final = ("ada", "bob", "cyn", "dan")
REPLICAS: Final = ("box 1", "box 2")
LOOK_S: Final = 0.15  # between two looks at what is waited for: who has just woken has other things to do


class Result(Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    ok: bool
    scenario: str
    seed: int
    wall_s: float
    lines: tuple[Line, ...]
    figures: Figures
    folder: str | None  # of the nodes' stores and logs, when it was kept


def play(
    *,
    seed: int,
    is_json: bool,
    keep: bool = False,
    quick: bool = False,
    size: Size | None = None,
    settings: Settings | None = None,
) -> bool:
    """Play it, print it and its verdict; true when every line of the verdict holds. `size` goes before `quick`.

    The run's folder is removed afterwards, unless a line does not hold or `keep` says so; then it is named.
    """
    began_s = time.monotonic()
    settings = settings or read_settings()
    size = size or (QUICK if quick else FULL)
    with open_stage(MEMBERS[0], is_json=is_json) as (folder, screen):
        screen.say(
            f"4 members, 2 mailboxes; {size.commits} commits and {size.messages} messages in {size.nights} nights,"
            f" seed {seed}"
        )
        members, replicas = make_nodes(folder, settings)
        network = Network((*members, *replicas), Processes(imported()), settings, screen, LOOK_S)
        story = played(network, OfflineScript(network, members, replicas, size, seed))
        write_story(folder, story)
        verdict = judged(folder, settings)
    kept = folder if keep or not verdict.ok else None
    result = Result(
        ok=verdict.ok,
        scenario="offline",
        seed=seed,
        wall_s=round(time.monotonic() - began_s, 1),
        lines=verdict.lines,
        figures=verdict.figures,
        folder=None if kept is None else str(kept),
    )
    click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2) if is_json else in_words(result))
    if kept is None:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict.ok


def make_nodes(folder: Path, settings: Settings) -> tuple[tuple[NodeProcess, ...], tuple[NodeProcess, ...]]:
    """The members, who use the mailboxes, and the mailboxes, who know nobody."""
    names = (*MEMBERS, *REPLICAS)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    identities = {}
    for name in names:
        data_dir = folder / name.replace(" ", "")
        identities[name] = create_node(DataDir(data_dir), KeyFile(data_dir / "vault.key"))
    addresses = {name: f"/ip4/127.0.0.1/tcp/{ports[name]}/p2p/{identities[name].peer_id}" for name in names}

    def node(name: str, peers: tuple[str, ...], more: Mapping[str, object]) -> NodeProcess:
        config = settings.config_of(
            name=f"{name} of the lake",  # long enough not to be found by chance
            data_dir=folder / name.replace(" ", ""),
            port=ports[name],
            peers=peers,
            more={"node.always_on": False, **more},
        )
        return NodeProcess(name, identities[name].peer_id, config, open_key(config))

    mailboxes = tuple(addresses[name] for name in REPLICAS)
    return (
        tuple(
            node(name, tuple(addresses[each] for each in MEMBERS if each != name), {"mailbox.use": mailboxes})
            for name in MEMBERS
        ),
        tuple(node(name, (), {"mailbox.serve": True, "node.log_level": "debug"}) for name in REPLICAS),
    )


def played(network: Network, script: OfflineScript) -> Story:
    """Play the script as far as it goes, and stop the nodes whatever happens."""
    try:
        script.play()
    except NodeError as error:
        script.failure = str(error)
        network.say(f"the script breaks off: {error}")
    finally:
        network.close()
    return script.story()


def judged(folder: Path, settings: Settings) -> Verdict:
    """The verdict on a run's folder, by the story and the stores in it."""
    story, nodes = read_all(folder)
    replicas = [
        read_replica(each.name, settings.config_of(name=each.name, data_dir=folder / each.folder, port=0, peers=()))
        for each in story.replicas
    ]
    return judge(story, nodes, checks(replicas))


def in_words(result: Result) -> str:
    """The verdict and the figures for people."""
    figures = result.figures
    said = ["", *in_lines(result.lines), ""]
    said += [
        f"epochs              {figures.epochs} decided, {figures.decisions} decisions stored",
        f"decision latency    one at a time {figures.quiet_decision}; two at once {figures.rival_decision}",
        f"message latency     to who is awake {figures.message}",
        f"caught up later     {figures.late_message}",
        f"wall time           {result.wall_s:.1f} s",
    ]
    if result.folder is not None:
        said.append(f"kept                {result.folder}")
    said.append(f"{'all lines hold' if result.ok else 'NOT ALL LINES HOLD'} (seed {result.seed})")
    return "\n".join(said)
