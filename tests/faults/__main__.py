"""`python -m tests.faults`: the long run. `--report FILE` writes what happened and what came of it."""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from tests.faults.play import KINDS
from tests.faults.run import Run, run

STORY_LINES_MAX: Final = 25  # on the page; the terminal shows all of it


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long the faults go on")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1, help="of the choices; the timing of processes is their own")
    parser.add_argument("--kind", choices=sorted(set(KINDS)), action="append", help="of fault; may be repeated")
    parser.add_argument("--no-mount", action="store_true", help="limit files instead, as for who is not root")
    parser.add_argument("--report", type=Path, help="where to write the report, in Markdown")
    asked = parser.parse_args()
    done = run(asked.nodes, asked.seconds, asked.seed, asked.kind or KINDS, may_mount=not asked.no_mount)
    command = f"python -m tests.faults --seconds {asked.seconds:g} --nodes {asked.nodes} --seed {asked.seed}"
    if asked.report is not None:
        asked.report.write_text(report(done, command), encoding="utf-8")
    print("\n".join(done.record.story))
    print(counts(done))
    print(done.verdict)
    return 0 if done.verdict.ok else 1


def counts(done: Run) -> str:
    """What happened, in numbers."""
    record = done.record
    faults = ", ".join(f"{count} {name}" for name, count in sorted(record.faults.items()))
    refused = ", ".join(f"{count} {code}" for code, count in sorted(record.refused.items())) or "none"
    return (
        f"faults: {faults}\n"
        f"acknowledged: {len(record.promised)} messages, {len(record.submitted)} changes\n"
        f"unanswered: {record.unanswered} (the node was killed or stopped meanwhile); refused: {refused}\n"
        f"after the last fault everybody had caught up within {done.recovery_s:.1f} s"
    )


def report(done: Run, command: str) -> str:
    """The page."""
    head = [
        "# A run under faults",
        "",
        "Real daemons over libp2p; every link goes through a relay that delays, loses (by retransmission timeouts) and",
        "cuts; processes are killed with `kill -9` and stopped with SIGSTOP, one disk (a small file system) is full at",
        "times, wall clocks step by a minute or two hours. Members send messages and change the group all the while.",
        "`tests/faults/` is the code; `make faults` runs it again and renews this page.",
        "",
        f"{time.strftime('%Y-%m-%d')}, `{command}`:",
        "",
        "```",
        counts(done),
        "",
        str(done.verdict),
        "```",
        "",
        "How it began:",
        "",
        "```",
        *done.record.story[:STORY_LINES_MAX],
        "```",
        "",
    ]
    return "\n".join(head)


if __name__ == "__main__":
    sys.exit(main())
