"""The scenario `offline` for real, a small one: every line holds, and every line of its own can fail."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.testnet.demo import read_all
from node.testnet.offline_checks import checks
from node.testnet.replica_evidence import ReplicaEvidence, read_replica
from node.testnet.settings import Settings
from node.testnet.story import Awake, Story
from node.testnet.verdict import Line, judge

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300

PROGRAM = """
import sys
from node.testnet.offline import play
from node.testnet.offline_script import Size
from node.testnet.settings import NodesSection, Settings
size = Size(commits=8, messages=18, nights=3)
sys.exit(not play(seed=3, is_json=True, keep=True, size=size, settings=Settings(nodes=NodesSection(suite=1))))
"""

Evidences = tuple[Any, ...]
Found = tuple[Story, Evidences, tuple[ReplicaEvidence, ...]]
Change = Callable[[Found], Found]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Found]]:
    """What one run printed, and what its folder holds."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("d"))},
        text=True,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    result = json.loads(ended.stdout)
    folder = Path(result["folder"])
    story, nodes = read_all(folder)
    replicas = tuple(
        read_replica(each.name, Settings().config_of(name="", data_dir=folder / each.folder, port=0, peers=()))
        for each in story.replicas
    )
    yield result, (story, nodes, replicas)
    shutil.rmtree(folder)


def test_a_group_whose_members_hardly_ever_meet(played: tuple[dict[str, Any], Found]) -> None:
    """Four daemons, never more than two at once, and two mailboxes: equal at the end, each message once, one order."""
    result, (story, nodes, replicas) = played

    assert result["ok"]
    assert [line["name"] for line in result["lines"]] == [name for name, _ in checks(())]
    assert all(line["ok"] and not line["evidence"] for line in result["lines"])
    assert len(story.sent) == 18
    assert {len(node.order) for node in nodes} == {18}
    assert len(replicas) == 2
    assert any(each.how == "killed" for each in story.awake)


def told(**changes: Any) -> Change:
    """Another value in the story."""
    return lambda found: (msgspec.structs.replace(found[0], **changes), *found[1:])


def three_at_once(found: Found) -> Found:
    story = found[0]
    span = story.awake[-1]
    third = next(each.name for each in story.actors if each.name not in {e.node for e in story.awake[-2:]})
    return told(awake=(*story.awake, Awake(third, span.from_ms, span.until_ms, "stopped")))(found)


def first_node(**changes: Any) -> Change:
    """Another value in the evidence of the first member."""
    return lambda found: (found[0], (replace(found[1][0], **changes), *found[1][1:]), found[2])


def another_order(found: Found) -> Found:
    """The first member reads two messages the other way round."""
    one, two, *rest = found[1][0].order
    return first_node(order=(two, one, *rest))(found)


def all_another_order(found: Found) -> Found:
    """All agree, on an order that is not the one that was promised."""
    return found[0], tuple(replace(each, order=tuple(reversed(each.order))) for each in found[1]), found[2]


def replica(**changes: Any) -> Change:
    return lambda found: (*found[:2], (replace(found[2][0], **changes), *found[2][1:]))


def leaked(kind: str) -> Change:
    """Something lies where it should not."""

    def change(found: Found) -> Found:
        story, nodes, _ = found
        secret = {
            "text": story.sent[0].text.encode(),
            "name": story.secrets[0].encode(),
            "member": story.actors[1].peer_id.encode(),
            "leaf key": min(nodes[0].leaf_keys).hex().encode(),
            "ciphertext": nodes[0].kept[0].payload,
        }[kind]
        return replica(places={"log": b"before " + secret + b" after"})(found)

    return change


def told_of_ada(**changes: Any) -> Change:
    """What the first member knows of its own messages."""

    def change(found: Found) -> Found:
        known = found[0].told
        return told(told={**known, "ada": msgspec.structs.replace(known["ada"], **changes)})(found)

    return change


NEVER, MANY, ORDER, ASLEEP, KNOWN, BLIND = (
    "never more than two awake",
    "as many commits and messages as said",
    "one order that all feeds share",
    "decided while its author slept",
    "senders know who has their messages",
    "the replicas know nobody and nothing",
)

DIFFERENCES: list[tuple[str, Change]] = [
    (NEVER, three_at_once),
    (NEVER, told(awake=())),
    (MANY, told(commits_due=1000)),
    (MANY, told(sent=())),
    (ORDER, another_order),
    (ORDER, all_another_order),
    (ORDER, told(read={})),
    (ASLEEP, told(outages=())),
    (KNOWN, told(told={})),
    (KNOWN, told_of_ada(messages=0)),
    (KNOWN, told_of_ada(stored_at=1)),
    (KNOWN, told_of_ada(delivered=0)),
    (BLIND, lambda found: (*found[:2], ())),
    (BLIND, replica(item_count=0)),
    (BLIND, replica(damage="it cannot be read")),
    (BLIND, told(secrets=())),
    *((BLIND, leaked(kind)) for kind in ("text", "name", "member", "leaf key", "ciphertext")),
]


@pytest.mark.parametrize(("name", "change"), DIFFERENCES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(DIFFERENCES)])
def test_a_line_fails_for_every_reason_it_has(played: tuple[dict[str, Any], Found], name: str, change: Change) -> None:
    """A check that cannot fail shows nothing."""
    story, nodes, replicas = change(played[1])

    verdict = judge(story, nodes, checks(replicas))

    assert not line_of(verdict.lines, name).ok
    assert not verdict.ok


def line_of(lines: tuple[Line, ...], name: str) -> Line:
    return next(line for line in lines if line.name == name)
