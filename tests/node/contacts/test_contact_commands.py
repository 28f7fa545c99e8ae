"""`conclave contact` as people see it: short words, and codes that a telephone can read."""

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
import segno

from node.api.contact_schema import ContactList, JoinResult
from node.cli.exits import CommandError
from node.cli.qr import terminal_qr, write_svg
from tests.node.api_world import CONTACT, JOINED, WAITING, CannedNode
from tests.node.test_cli import conclave, data_dir, node

__all__ = ["data_dir", "node"]  # fixtures


def test_the_card_is_one_word_on_its_own(node: CannedNode, data_dir: Path) -> None:
    """So that `contact add $(contact card)` works, and a mail program copies it whole."""
    assert conclave(data_dir, "contact", "card").stdout == "conclave:card:AAAA\n"


def test_a_code_in_the_terminal_is_the_code(node: CannedNode, data_dir: Path) -> None:
    """Half a character for each module, light ones drawn: read back, it is what the library made."""
    shown = conclave(data_dir, "contact", "card", "--qr").stdout.splitlines()
    assert shown[0] == "conclave:card:AAAA"
    read = [
        [int(character in " ▄") if half == 0 else int(character in " ▀") for character in line]
        for line in shown[1:]
        for half in (0, 1)
    ]
    made = [
        list(row) for row in segno.make_qr("conclave:card:AAAA", error="l", boost_error=False).matrix_iter(border=2)
    ]
    assert read[: len(made)] == [[int(bool(module)) for module in row] for row in made]


def test_the_largest_usual_card_fits_into_eighty_columns() -> None:
    """One address, no mailbox: about 340 characters."""
    lines = terminal_qr("conclave:card:" + "A" * 330).splitlines()
    assert max(len(line.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m")) for line in lines) <= 80


def test_a_code_in_a_file_is_svg(node: CannedNode, data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "card.svg"
    assert conclave(data_dir, "contact", "card", "--svg", str(file)).exit_code == 0
    assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_what_fits_into_no_code_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="do not fit into a QR code"):
        write_svg("x" * 3000, tmp_path / "x.svg")


def test_the_list_says_who_is_verified(node: CannedNode, data_dir: Path) -> None:
    """And nothing in a name steers the terminal."""
    evil = msgspec.structs.replace(CONTACT, name="al\x1b[31mice", is_blocked=True, is_expired=True)
    node.replies["contact_list"] = ContactList(contacts=(CONTACT, evil))
    lines = conclave(data_dir, "contact", "list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PEER", "VERIFIED", "STATE", "CARD"]
    assert lines[1].split() == ["alice", "12D3KooWAlice", "no", "connected", "until", "2027-01-15"]
    assert "blocked" in lines[2]
    assert "expired" in lines[2]
    assert "\x1b" not in lines[2]


def test_verifying_shows_both_forms_and_asks(node: CannedNode, data_dir: Path) -> None:
    asked = conclave(data_dir, "contact", "verify", "alice", stdin="y\n")
    assert asked.exit_code == 0
    assert "alice should see the same number:" in asked.output
    assert [name for name, _ in node.asked] == ["contact_show", "contact_verify"]
    assert node.asked[-1][1].matches
    node.asked.clear()
    refused = conclave(data_dir, "contact", "verify", "alice", stdin="n\n")
    assert refused.exit_code == 1
    assert [name for name, _ in node.asked] == ["contact_show"]


def test_a_card_is_read_from_standard_input(node: CannedNode, data_dir: Path) -> None:
    assert conclave(data_dir, "contact", "add", "-", stdin="conclave:card:BBBB\n").exit_code == 0
    assert node.asked[-1][1].card == "conclave:card:BBBB\n"
    assert conclave(data_dir, "contact", "add", "-", stdin="").exit_code == 2
    assert conclave(data_dir, "contact", "add", "-", stdin="x" * 20_000).exit_code == 2


@pytest.mark.parametrize(
    ("reply", "words", "exit_code", "says"),
    [
        (JOINED, (), 0, "joined book club (epoch 3, 2 members)"),
        (msgspec.structs.replace(JOINED, is_confirmed=False), (), 0, "unconfirmed until other members answer"),
        (WAITING, (), 4, "group joins"),
        (WAITING, ("--no-wait",), 0, "~alice has to approve"),
        (msgspec.structs.replace(WAITING, state="refused", text="not let in: why"), (), 1, "Error: not let in: why"),
    ],
)
def test_join_ends_as_it_ends(
    node: CannedNode, data_dir: Path, reply: JoinResult, words: tuple[str, ...], exit_code: int, says: str
) -> None:
    node.replies["group_join"] = reply
    ended = conclave(data_dir, "group", "join", "conclave:invite:AA", *words)
    assert ended.exit_code == exit_code
    assert says in ended.output


def test_a_link_is_one_word_on_its_own(node: CannedNode, data_dir: Path, tmp_path: Path) -> None:
    assert conclave(data_dir, "group", "invite", "g").stdout == "conclave:invite:AAAA\n"
    file = tmp_path / "link.svg"
    shown = conclave(data_dir, "group", "invite", "g", "--qr", "--svg", str(file)).stdout
    assert "█" in shown
    assert file.exists()


@pytest.mark.parametrize("typed", ["", "7", "7w", "0d", "30s", "400d", "1.5h", "d", "-1d"])
def test_a_time_that_is_none_is_refused(node: CannedNode, data_dir: Path, typed: str) -> None:
    refused = conclave(data_dir, "group", "invite", "g", "--expires", typed)
    assert refused.exit_code == 2
    assert "is not like 30m, 12h or 7d" in refused.output
    assert node.asked == []
