"""What must be true after the faults: judged from the nodes' own stores and logs, as the demo is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.testnet.case import Case, case_of
from node.testnet.checks_chain import chains_verify, equal_epochs, one_decision
from node.testnet.checks_work import intents_once, messages_once
from node.testnet.evidence import read_evidence
from node.testnet.processes import NodeProcess
from node.testnet.story import Actor, Story
from tests.faults.play import Record

CHECKS = (
    ("everybody is in the same epoch", equal_epochs),
    ("every certificate chain verifies offline", chains_verify),
    ("nothing forked", one_decision),
    ("every acknowledged change was made, once", intents_once),
    ("every acknowledged message is everywhere, once", messages_once),
)
FAILED_TASK = "group task failed"
DISK_FULL = ("disk is full", "disk I/O error")


@dataclass(slots=True)
class Verdict:
    """Each line: what was checked, its numbers, and what contradicts it."""

    lines: list[tuple[str, str, list[str]]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not any(problems for _, _, problems in self.lines)

    def __str__(self) -> str:
        said = []
        for name, text, problems in self.lines:
            said.append(f"{'FAIL' if problems else 'ok  '}  {name:<48}  {text}")
            said += [f"        {each}" for each in problems[:20]]
        return "\n".join(said)


def judge(nodes: Sequence[NodeProcess], folder: Path, group: str, record: Record) -> Verdict:
    """The nodes must have been stopped."""
    story = Story(
        seed=0,
        rounds=0,
        group_id=group,
        actors=tuple(Actor(node.name, node.peer_id, node.config.data_dir.name) for node in nodes),
        committee_sizes=(),
        submitted=tuple(record.submitted),
        sent=tuple(record.sent),
    )
    group_id = bytes.fromhex(group)
    case = case_of(story, [read_evidence(node.name, node.peer_id, node.config, group_id) for node in nodes])
    verdict = Verdict([(name, *check(case)) for name, check in CHECKS])
    lost = sorted(set(record.promised) - {each.body.text for node in case.nodes for each in node.heard})
    said = [f"{record.promised[text]} acknowledged {text!r}: nobody holds it" for text in lost]
    verdict.lines.append(("nothing acknowledged is lost", f"{len(record.promised)} messages", said))
    verdict.lines.append(("no task failed but for want of disk", *_tasks(case, nodes)))
    verdict.lines.append(("every node stopped when asked to", *_stopped(nodes)))
    return verdict


def _tasks(_case: Case, nodes: Sequence[NodeProcess]) -> tuple[str, list[str]]:
    """A group's task that dies is started again; only a full disk may be why."""
    problems, excused = [], 0
    for node in nodes:
        entries = node.log_path.read_text(errors="replace").split(FAILED_TASK)[1:]
        for entry in entries:
            trace = entry[: entry.find("[info") if "[info" in entry else None]
            if any(reason in trace for reason in DISK_FULL):
                excused += 1
            else:
                problems.append(f"{node.name}: {trace.strip().splitlines()[-1]}")
    return f"{excused} restarts of tasks on a full disk", problems


def _stopped(nodes: Sequence[NodeProcess]) -> tuple[str, list[str]]:
    problems = [f"{node.name}: exit code {node.exit_code}" for node in nodes if node.exit_code != 0]
    return f"{len(nodes)} nodes, exit code 0", problems
