"""What the documentation says can be run is run, and what it points at is there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from node.cli.root import root
from node.config import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)")
SETTING = re.compile(rf"`((?:{'|'.join(sorted({key.split('.')[0] for key in SETTINGS}))})\.[a-z_]+)`")

FILES = {
    "mailbox.db",
    "replica.db",
    "node.toml",
    "api.sock",
    "api.token",
    "vault.key",
}  # of a data directory; they look like settings


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(page.read_text()) if found == language]


EXAMPLES = {f"{page.stem}-{number}": body for page in PAGES for number, body in enumerate(blocks(page, "python"), 1)}


@pytest.mark.parametrize("source", list(EXAMPLES.values()), ids=list(EXAMPLES))
def test_every_python_example_runs(source: str, tmp_path: Path) -> None:
    """In a process of its own, as a reader would: nothing is set up but the packages."""
    program = tmp_path / "example.py"
    program.write_text(source)
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    """A promise that names its test is a promise only as long as the test is there."""
    for file, name in TEST.findall(page.read_text()):
        assert (ROOT / file).is_file(), file
        if name:
            source = (ROOT / file).read_text()
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    """The words after `conclave` are commands, the options theirs."""
    for line in command_lines(page):
        command: click.Command = root
        words = line.split()
        while words and isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert words == [] or command is not root or words[0].startswith("-"), f"conclave {line}"
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word in known or word == "--help", f"conclave {line}: {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    for key in SETTING.findall(page.read_text()):
        assert key in SETTINGS or key in FILES or key.endswith(".py"), key


def anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(page: Path) -> Iterator[str]:
    """What stands after `conclave` in shell blocks and in inline code, up to a comment or the end of the command."""
    text = page.read_text()
    shell = "\n".join(blocks(page, "sh"))
    inline = "\n".join(re.findall(r"`(conclave [^`\n]+)`", BLOCK.sub("", text)))
    for found in re.findall(r"\bconclave ((?:--?)?[a-z][^#\n;|&)]*)", f"{shell}\n{inline}"):
        yield found.strip()


def test_every_line_of_the_threat_model_has_its_test_or_says_that_it_has_none() -> None:
    """A promise without a test is told from one with a test, also where nothing is promised."""
    silent = []
    for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[-1] == "test":
            columns = len(cells)
            continue
        if not line.startswith("|"):
            columns = 0
        elif columns and not set(line) <= set("|-"):
            assert len(cells) == columns, line
            if not TEST.search(cells[-1]) and cells[-1] != "not covered":
                silent.append(cells[0])
    assert silent == []
