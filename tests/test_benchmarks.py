"""The benchmarks measure what they say on groups that are right; how long it takes is nobody's test."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.drawing import chart
from benchmarks.measure import QUICK
from benchmarks.mls import figures, main
from benchmarks.operations import COMPANIONS, OPERATIONS, Scene
from benchmarks.world import NOW, add_everyone, dice, founder_and_newcomers, full_world, package
from mls.entry import join
from mls.proposals import add
from mls.tree.subtree import Subtree
from mls.tree.verify import check_tree

ROOT = Path(__file__).resolve().parents[1]
SHORT = replace(QUICK, seconds=0.0, rounds_min=1, rounds_max=1)


@pytest.mark.parametrize("member_count", [1, 2, 3, 5, 8, 10, 17])
def test_a_planted_tree_is_one_that_commits_could_have_left(member_count: int) -> None:
    """A joiner checks every signature and parent hash of it, and its members follow each other's Commits."""
    random = dice()
    world = full_world(1, member_count, random)
    check_tree(world.tree)
    newcomer = package(1, member_count, random)
    adder = world.member(0)
    made = adder.commit(random, NOW, proposals=[add(newcomer.key_package)])
    assert made.welcome is not None
    joined = join(made.welcome, [newcomer], tree=None, now=NOW)
    assert joined.epoch_authenticator == made.successor.epoch_authenticator
    for leaf_index in range(1, member_count):
        followed = world.member(leaf_index).stage(made.message, now=NOW).successor
        assert followed is not None
        assert followed.epoch_authenticator == joined.epoch_authenticator


def test_every_operation_is_measured_under_its_name() -> None:
    names = (*OPERATIONS, *COMPANIONS)
    measured = [figure for figure, _ in figures([1], [10], names, SHORT)]
    assert [each.operation for each in measured] == list(names)
    for each in measured:
        assert each.median_s > 0
        assert (each.suite, each.n) == (1, 10)
        assert (each.ratio is None) == (each.operation.split("_")[0] in {"encode", "decode", "snapshot"})


def test_json_is_one_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--json", "--suite", "1", "--n", "10", "--operation", "seal", "--operation", "encode_tree"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["operation"] for line in lines] == ["seal", "encode_tree"]
    assert all(set(line) == {"operation", "suite", "n", "median_s", "floor_s", "ratio", "bytes"} for line in lines)


def test_the_report_tells_growth_and_draws_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sizes = [part for n in ("4", "8", "16") for part in ("--n", n)]
    main(["--quick", "--suite", "1", *sizes, "--operation", "commit_full", "--svg", str(tmp_path / "cost.svg")])
    out = capsys.readouterr().out
    assert "time against n: a = 4, b = 8, c = 16" in out
    assert "ceil(log2 n)" in out
    assert (tmp_path / "cost.svg").read_text().count("<polyline") == 1
    assert chart([figure for figure, _ in figures([1], [10], ["seal"], SHORT)]).endswith("</svg>\n")


def test_a_run_is_written_as_a_page(tmp_path: Path) -> None:
    page, asked = tmp_path / "costs.md", ("commit_full", "seal", "encode_tree", "join_one_thread")
    operations = [part for name in asked for part in ("--operation", name)]
    sizes = [part for n in ("4", "8", "16") for part in ("--n", n)]
    main(
        ["--quick", "--suite", "1", "--suite", "2", *sizes, *operations, "--page", str(page), "--machine", "a toaster"]
    )
    text = page.read_text()
    assert "Machine: a toaster." in text
    assert "](costs.svg)" in text
    for name in asked:
        assert text.count(f"| {name} |") == 4  # times and sizes for each suite
    assert text.count("ceil(log2 n)") == 4
    rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(rows) == {5, 6}
    assert ElementTree.parse(page.with_suffix(".svg")).getroot().tag.endswith("svg")
    assert page.with_suffix(".svg").read_text().count("<polyline") == 2 * (len(asked) - 1)


def run(command: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0
    return ended


def test_the_command_line_is_a_good_neighbour() -> None:
    """Asked for help it helps, it draws no progress into a file, and it ends without a word when nobody reads on."""
    python, quick = sys.executable, "--quick --json --suite 1 --n 4 --operation encode_tree --operation seal"
    assert "usage:" in run(f"{python} -m benchmarks --help").stdout
    assert run(f"{python} -m benchmarks.mls {quick}").stderr == ""
    assert run(f"{python} -m benchmarks.mls {quick} | head -n 0").stderr == ""


def test_no_operation_goes_through_all_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Committing, following, sealing and opening cost log n on a full tree, adding no more than a piece of it."""
    scene, seen = Scene(1, 300), 0
    committer, receiver, newcomer = scene.committer, scene.receiver, scene.newcomer
    scene.world.tree.tree_hash()
    scene.world.tree.encode()

    def counted(walk: Callable[[Subtree], list[Subtree]]) -> Callable[[Subtree], list[Subtree]]:
        def walked(subtree: Subtree) -> list[Subtree]:
            nonlocal seen
            found = walk(subtree)
            seen += len(found)
            return found

        return walked

    for name in ("nodes", "leaves"):
        monkeypatch.setattr(Subtree, name, counted(getattr(Subtree, name)))
    made = committer.commit(scene.random, NOW)
    staged = receiver.stage(made.message, now=NOW)
    assert staged.successor is not None
    sender, message = made.successor.seal(b"words", scene.random)
    staged.successor.open(message, NOW)
    sender.commit(scene.random, NOW, proposals=[add(newcomer.key_package)], inline_tree=False)
    assert seen == 0
    sender.commit(scene.random, NOW, proposals=[add(newcomer.key_package)])
    assert 0 < seen < 300


def test_a_path_over_an_add_only_tree_counts_its_recipients_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows looks through no resolution, not even its own."""
    random = dice()
    alone, bundles = founder_and_newcomers(1, 33, random)
    _, welcome, adder = add_everyone(alone, bundles, random)
    receiver = join(welcome, [bundles[7]], tree=None, now=NOW)
    message = adder.commit(random, NOW).message
    found = 0
    resolution = Subtree.resolution

    def counted(subtree: Subtree) -> tuple[Subtree, ...]:
        nonlocal found
        nodes = resolution(subtree)
        found += len(nodes)
        return nodes

    monkeypatch.setattr(Subtree, "resolution", counted)
    receiver.stage(message, now=NOW)
    assert found == 0
