"""The demo for real, and its verdict: every line holds, and every line fails once what it looks at is tampered with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.data_dir import DataDir
from node.feed import DecisionBody, IntentBody, MessageBody
from node.holding import EpochKey, Extra
from node.setup import open_key
from node.store import Store, open_store
from node.testnet.demo import judged, read_all
from node.testnet.evidence import Evidence
from node.testnet.settings import Settings
from node.testnet.story import Story, read_story, write_story
from node.testnet.verdict import CHECKS, Line, judge
from ordering import Decision

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120

PROGRAM = """
import sys
from node.testnet.demo import demo
from node.testnet.settings import ScriptSection, Settings
settings = Settings(script=ScriptSection(quiet_changes=4))
sys.exit(not demo(nodes=4, rounds=1, seed=int(sys.argv[1]), is_json=True, keep=True, settings=settings))
"""


def begin(folder: Path, seed: int) -> subprocess.Popen[str]:
    """The demo in a process of its own: a fork needs one without threads. Its folder is made in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder), "DEMO_MARK": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(seed)],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")


@pytest.fixture(scope="module")
def played(short_folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """What one run printed, and its folder."""
    run = begin(short_folder, seed=11)
    try:
        output, errors = run.communicate(timeout=LIMIT_S)
    finally:
        run.kill()
    assert run.returncode == 0, f"{output}\n{errors}"
    result = json.loads(output)
    yield result, Path(result["folder"])
    shutil.rmtree(result["folder"])


@pytest.fixture
def folder(played: tuple[dict[str, Any], Path], tmp_path: Path) -> Path:
    """A copy of the run's folder, to be tampered with."""
    copy = tmp_path / "copy"
    shutil.copytree(played[1], copy, ignore=shutil.ignore_patterns("*.sock"))
    return copy


class Tamper:
    """Changes the store of one node behind its back."""

    def __init__(self, store: Store, story: Story, name: str) -> None:
        self.store = store
        self.story = story
        self.name = name
        self.group_id = bytes.fromhex(story.group_id)

    def sql(self, statement: str, *bindings: object) -> list[tuple[Any, ...]]:
        return self.store._rows(statement, *bindings)

    def rewrite(self, kind: str, body: type[Any], change: Callable[[Any], Any]) -> None:
        """Every entry of a kind of the feed, changed."""
        for seq, data in self.sql("SELECT seq, body FROM feed WHERE kind = ?", kind):
            self.sql("UPDATE feed SET body = ? WHERE seq = ?", change(body.decode(data)).encode(), seq)


def tamper(folder: Path, act: Callable[[Tamper], object], names: tuple[str, ...] | None = None) -> None:
    """Let `act` loose on the stores of these nodes, or of all."""
    story = read_story(folder)
    for actor in story.actors:
        if names is None or actor.name in names:
            config = Settings().config_of(name=actor.name, data_dir=folder / actor.folder, port=0, peers=())
            with open_store(DataDir(config.data_dir).store_path, open_key(config).value) as store:
                act(Tamper(store, story, actor.name))


def broken_signature(each: Tamper) -> None:
    epoch, data = each.sql("SELECT epoch, decision FROM decisions ORDER BY epoch DESC LIMIT 1")[0]
    decision = Decision.decode(data)
    (voter, signature), *others = decision.certificate.signatures
    flipped = bytes((signature[0] ^ 1,)) + signature[1:]
    certificate = msgspec.structs.replace(decision.certificate, signatures=((voter, flipped), *others))
    changed = msgspec.structs.replace(decision, certificate=certificate)
    each.sql("UPDATE decisions SET decision = ? WHERE epoch = ?", changed.encode(), epoch)


def missing_decision(each: Tamper) -> None:
    each.sql("DELETE FROM decisions WHERE epoch = 2")
    each.sql("DELETE FROM feed WHERE kind = 'decision' AND epoch = 3")


def an_intent(each: Tamper) -> bytes:
    return bytes(each.sql("SELECT intent_id FROM intents WHERE kind = 'update' AND state = 'done' LIMIT 1")[0][0])


def unfinished_intent(each: Tamper) -> None:
    each.sql("UPDATE intents SET state = 'open' WHERE intent_id = ?", an_intent(each))


def forgotten_intent(each: Tamper) -> None:
    """Row and ending: what remains is a commit that nobody asked for, and an accepted change that is gone."""
    intent_id = an_intent(each)
    each.sql("DELETE FROM intents WHERE intent_id = ?", intent_id)
    for seq, data in each.sql("SELECT seq, body FROM feed WHERE kind = 'intent'"):
        if IntentBody.decode(data).intent_id == intent_id:
            each.sql("DELETE FROM feed WHERE seq = ?", seq)


def intent_done_by_another(each: Tamper) -> None:
    """The intents name commits that were never decided."""
    each.rewrite("intent", IntentBody, lambda body: msgspec.structs.replace(body, candidate_id=bytes(32)))


def repeated_message(each: Tamper) -> None:
    """The same words a second time, under another id: as if it had been sealed again after a crash."""
    each.sql(
        "INSERT INTO feed (group_id, kind, epoch, sender, message_id, body, at_ms)"
        " SELECT group_id, kind, epoch, sender, randomblob(32), body, at_ms FROM feed WHERE kind = 'message' LIMIT 1"
    )


def other_words(each: Tamper) -> None:
    each.rewrite("message", MessageBody, lambda body: msgspec.structs.replace(body, text=body.text + "!"))


def read_while_away(each: Tamper) -> None:
    """The removed member has a message of the time it was away."""
    removal = each.story.removals[0]
    if each.name == removal.node:
        each.sql(
            "INSERT INTO feed (group_id, kind, epoch, sender, message_id, body, at_ms)"
            " SELECT group_id, kind, ?, sender, randomblob(32), body, at_ms FROM feed WHERE kind = 'message' LIMIT 1",
            removal.removed_epoch,
        )


def key_of_the_gap(each: Tamper) -> None:
    removal = each.story.removals[0]
    if each.name == removal.node:
        row = each.store.group(each.group_id)
        assert row is not None
        extra = Extra.decode(row.extra)
        keys = (*extra.keys[:-1], EpochKey(removal.removed_epoch, bytes(32)))
        changed = msgspec.structs.replace(extra, keys=keys)
        each.sql("UPDATE groups SET extra = ? WHERE group_id = ?", changed.encode(), each.group_id)


TAMPERINGS: list[tuple[str, Callable[[Tamper], object], tuple[str, ...] | None]] = [
    ("equal epoch authenticators", lambda each: each.sql("UPDATE groups SET epoch = epoch - 1"), ("node 2",)),
    ("equal epoch authenticators", lambda each: each.sql("UPDATE groups SET snapshot = NULL"), ("node 3",)),
    ("equal epoch authenticators", lambda each: each.sql("UPDATE groups SET snapshot = x'00'"), ("node 3",)),
    ("every certificate chain verifies offline", broken_signature, ("node 1",)),
    ("every certificate chain verifies offline", lambda each: each.sql("DELETE FROM groups"), ("node 1",)),
    (
        "no two certificates for one epoch",
        lambda each: each.sql("UPDATE decisions SET candidate_id = randomblob(32) WHERE epoch = 9"),
        ("node 1",),
    ),
    (
        "no two certificates for one epoch",
        missing_decision,
        None,
    ),
    (
        "commits competed",
        lambda each: each.rewrite("decision", DecisionBody, lambda body: msgspec.structs.replace(body, rivals=1)),
        None,
    ),
    ("every intent done exactly once", unfinished_intent, ("node 2",)),
    ("every intent done exactly once", forgotten_intent, ("node 2",)),
    ("every intent done exactly once", intent_done_by_another, ("node 2",)),
    (
        "every message delivered exactly once",
        lambda each: each.sql("DELETE FROM feed WHERE seq = (SELECT max(seq) FROM feed WHERE kind = 'message')"),
        ("node 4",),
    ),
    ("every message delivered exactly once", lambda each: each.sql("DELETE FROM feed WHERE kind = 'message'"), None),
    ("every message delivered exactly once", repeated_message, ("node 1",)),
    ("every message delivered exactly once", other_words, ("node 3",)),
    ("nothing readable by the removed member", read_while_away, None),
    ("nothing readable by the removed member", key_of_the_gap, None),
    (
        "the others went on without a voter",
        lambda each: each.sql("UPDATE feed SET at_ms = 0 WHERE kind = 'decision'"),
        None,
    ),
]


def test_the_demo_holds_every_line(played: tuple[dict[str, Any], Path]) -> None:
    """Four daemons over loopback, a kill, a stop, a removal: and the run's figures are figures."""
    result, _ = played

    assert result["ok"]
    assert [line["name"] for line in result["lines"]] == [name for name, _ in CHECKS]
    assert all(line["ok"] and not line["evidence"] for line in result["lines"])
    assert result["figures"]["quiet_decision"]["count"] == 4
    assert result["figures"]["message"]["p50_ms"] > 0
    assert result["figures"]["concurrent_commits"] >= 4


def test_a_kept_folder_is_judged_alike_again(played: tuple[dict[str, Any], Path], folder: Path) -> None:
    """The verdict comes from the stores: it needs neither the nodes nor the run."""
    assert judged(folder).lines == msgspec.convert(played[0]["lines"], tuple[Line, ...])


@pytest.mark.parametrize(
    ("name", "act", "names"), TAMPERINGS, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(TAMPERINGS)]
)
def test_a_line_fails_when_its_stores_are_tampered_with(
    folder: Path, name: str, act: Callable[[Tamper], object], names: tuple[str, ...] | None
) -> None:
    """A check that cannot fail shows nothing; and what it tells names a node, an epoch or an id."""
    tamper(folder, act, names)

    verdict = judged(folder)

    line = line_of(verdict.lines, name)
    assert not line.ok
    assert any("node" in each or "epoch" in each or "commits" in each for each in line.evidence), line.evidence
    assert not verdict.ok


Change = Callable[[Story, tuple[Evidence, ...]], tuple[Story, tuple[Evidence, ...]]]


def first_changed(**changes: Any) -> Change:
    """Another value in the evidence of the first node."""
    return lambda story, nodes: (story, (replace(nodes[0], **changes), *nodes[1:]))


def told_otherwise(**changes: Any) -> Change:
    """Another value in the story."""
    return lambda story, nodes: (msgspec.structs.replace(story, **changes), nodes)


def held_otherwise(**changes: Any) -> Change:
    """The removed member held something else while it was away."""

    def change(story: Story, nodes: tuple[Evidence, ...]) -> tuple[Story, tuple[Evidence, ...]]:
        (removal,) = story.removals
        held = msgspec.structs.replace(removal.held, **changes)
        return msgspec.structs.replace(story, removals=(msgspec.structs.replace(removal, held=held),)), nodes

    return change


def could_send(story: Story, nodes: tuple[Evidence, ...]) -> tuple[Story, tuple[Evidence, ...]]:
    removals = tuple(msgspec.structs.replace(each, refusal="") for each in story.removals)
    return msgspec.structs.replace(story, removals=removals), nodes


def opens_everything(story: Story, nodes: tuple[Evidence, ...]) -> tuple[Story, tuple[Evidence, ...]]:
    return story, tuple(replace(each, opens=lambda _: True) for each in nodes)


def always_four(story: Story, nodes: tuple[Evidence, ...]) -> tuple[Story, tuple[Evidence, ...]]:
    return story, tuple(
        replace(each, chain=tuple(replace(row, committee_size=4) for row in each.chain)) for each in nodes
    )


def key_used_twice(story: Story, nodes: tuple[Evidence, ...]) -> tuple[Story, tuple[Evidence, ...]]:
    """Every message a node received was sealed with the first key of its epoch."""

    def changed(node: Evidence) -> Evidence:
        heard = tuple(replace(each, body=msgspec.structs.replace(each.body, generation=1)) for each in node.heard)
        return replace(node, heard=heard)

    return story, tuple(map(changed, nodes))


DIFFERENCES: list[tuple[str, Change]] = [
    ("the script came to its end", told_otherwise(failure="node 2 ended by itself")),
    ("the script came to its end", told_otherwise(exit_codes={})),
    ("the script came to its end", told_otherwise(errors={"node 2": "group task failed"})),
    ("equal epoch authenticators", first_changed(authenticator=bytes(32))),
    ("equal epoch authenticators", first_changed(members=frozenset({"somebody"}))),
    ("every certificate chain verifies offline", first_changed(report=None)),
    ("the committee grew with its members", always_four),
    ("commits competed", told_otherwise(rounds=1000)),
    ("every intent done exactly once", first_changed(intents=())),
    ("every intent done exactly once", first_changed(ended=())),
    ("every message delivered exactly once", key_used_twice),
    ("nothing readable by the removed member", opens_everything),
    ("nothing readable by the removed member", told_otherwise(removals=())),
    ("nothing readable by the removed member", held_otherwise(is_removed=False)),
    ("nothing readable by the removed member", held_otherwise(has_snapshot=True)),
    ("nothing readable by the removed member", held_otherwise(successors=1)),
    ("nothing readable by the removed member", held_otherwise(key_epochs=(3,))),
    ("nothing readable by the removed member", held_otherwise(message_epochs=(10_000,))),
    ("nothing readable by the removed member", could_send),
    ("the others went on without a voter", told_otherwise(outages=())),
]


@pytest.mark.parametrize(("name", "change"), DIFFERENCES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(DIFFERENCES)])
def test_a_line_fails_for_every_reason_it_has(played: tuple[dict[str, Any], Path], name: str, change: Change) -> None:
    """Also for those that a store cannot be made to show without its keys."""
    verdict = judge(*change(*read_all(played[1])))

    assert not line_of(verdict.lines, name).ok
    assert not verdict.ok


def line_of(lines: tuple[Line, ...], name: str) -> Line:
    return next(line for line in lines if line.name == name)


def test_evidence_is_bounded(played: tuple[dict[str, Any], Path]) -> None:
    """A thousand pieces of it help nobody."""
    story, nodes = read_all(played[1])

    verdict = judge(story, [replace(each, heard=()) for each in nodes])

    evidence = line_of(verdict.lines, "every message delivered exactly once").evidence
    assert len(evidence) == 21
    assert evidence[-1].startswith("and ")


def test_a_run_that_never_began_is_no_success(tmp_path: Path) -> None:
    """No nodes, no story: nothing is true by default but what counts nothing."""
    story = Story(seed=1, rounds=1, group_id="", actors=(), committee_sizes=(1, 3), failure="not ready within 30 s")
    write_story(tmp_path, story)

    verdict = judged(tmp_path)

    assert not verdict.ok
    assert line_of(verdict.lines, "the script came to its end").evidence == ("not ready within 30 s",)


def marked(mark: str) -> list[int]:
    """Processes whose environment says that they come from this test."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DEMO_MARK={mark}".encode() in path.read_bytes() and "Z" not in (path.parent / "stat").read_text():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """No process, no folder with keys."""
    run = begin(tmp_path, seed=3)
    try:
        assert run.stderr is not None
        while "founds the group" not in (line := run.stderr.readline()):
            assert line, "the demo ended early"
        assert len(marked(str(tmp_path))) == 5
        run.send_signal(number)
        run.communicate(timeout=LIMIT_S)
    finally:
        run.kill()

    assert run.returncode != 0
    deadline_s = time.monotonic() + 5
    while marked(str(tmp_path)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert marked(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
