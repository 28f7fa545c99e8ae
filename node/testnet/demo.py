"""The demo from end to end: make the nodes, play the script, stop them, judge their stores, clean up."""

import shutil
import time
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from mls import MlsError
from node.api.errors import ApiError
from node.errors import NodeError
from node.testnet.evidence import Evidence, read_evidence
from node.testnet.figures import Figures
from node.testnet.network import Network, make_nodes
from node.testnet.processes import Processes
from node.testnet.script import Script
from node.testnet.settings import Settings, read_settings
from node.testnet.stage import imported, open_stage
from node.testnet.story import Story, read_story, write_story
from node.testnet.verdict import Line, Verdict, in_lines, judge
from ordering import OrderingError


class Result(Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    ok: bool
    nodes: int
    rounds: int
    seed: int
    wall_s: float
    lines: tuple[Line, ...]
    figures: Figures
    folder: str | None  # of the nodes' stores and logs, when it was kept


def demo(
    *, nodes: int, rounds: int, seed: int, is_json: bool, keep: bool = False, settings: Settings | None = None
) -> bool:
    """Play the demo, print it and its verdict; true when every line of the verdict holds.

    The run's folder is removed afterwards, unless a line does not hold or `keep` says so; then it is named.
    `settings` are those of `configs/testnet.toml` where none are given.
    """
    began_s = time.monotonic()
    settings = settings or read_settings()
    with open_stage(str(nodes), is_json=is_json) as (folder, screen):
        screen.say(f"{nodes} nodes, {rounds} rounds, seed {seed}")
        made = make_nodes(folder, nodes, settings)
        network = Network(made, Processes(imported()), settings, screen)
        story = played(network, Script(network, rounds=rounds, seed=seed))
        write_story(folder, story)
        verdict = judged(folder)
    kept = folder if keep or not verdict.ok else None
    result = Result(
        ok=verdict.ok,
        nodes=nodes,
        rounds=rounds,
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


def played(network: Network, script: Script) -> Story:
    """Start the nodes, play the script as far as it goes, and stop the nodes whatever happens."""
    try:
        network.processes.start(network.nodes, network.settings.limits.start_s)
        network.say(f"{len(network.nodes)} nodes are running")
        script.play()
    except NodeError as error:
        script.failure = str(error)
        network.say(f"the script breaks off: {error}")
    finally:
        network.close()
    return script.story()


def judged(folder: Path) -> Verdict:
    """The verdict on a run's folder, by the story and the stores in it."""
    return judge(*read_all(folder))


def read_all(folder: Path) -> tuple[Story, tuple[Evidence, ...]]:
    """The story and the evidence of every node. A store that cannot be read is evidence too."""
    story, settings = read_story(folder), read_settings()
    group_id = bytes.fromhex(story.group_id)
    nodes = []
    for actor in story.actors:
        config = settings.config_of(name=actor.name, data_dir=folder / actor.folder, port=0, peers=())
        try:
            nodes.append(read_evidence(actor.name, actor.peer_id, config, group_id))
        except (NodeError, MlsError, OrderingError, ApiError) as error:
            damage = f"{type(error).__name__}: {error}"
            nodes.append(Evidence(name=actor.name, peer_id=actor.peer_id, epoch=None, damage=damage))
    return story, tuple(nodes)


def in_words(result: Result) -> str:
    """The verdict and the figures for people."""
    said = ["", *in_lines(result.lines)]
    figures = result.figures
    said += [
        "",
        f"epochs              {figures.epochs} decided, {figures.decisions} decisions stored",
        f"concurrent commits  {figures.concurrent_commits}",
        f"decision latency    uncontended {figures.quiet_decision}; contended {figures.rival_decision}",
        f"message latency     uncontended {figures.quiet_message}; all {figures.message}",
        f"caught up later     {figures.late_message}",
        f"wall time           {result.wall_s:.1f} s",
    ]
    if result.folder is not None:
        said.append(f"kept                {result.folder}")
    said.append(f"{'all lines hold' if result.ok else 'NOT ALL LINES HOLD'} (seed {result.seed})")
    return "\n".join(said)
