"""The command line: quick help, words for every failure, exit codes, and the same answers as the API."""

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from node import cli, config
from node.api import contact_operations, contact_schema, operations, schema, token_operations, token_schema
from node.api.errors import ApiError, ErrorCode
from node.cli import settings
from node.cli.output import lasting, safe
from node.cli.root import root
from node.testnet import scenarios
from node.version import VERSION
from tests.node.api_world import ADDS, DETAIL, INTENT, MESSAGE, PENDING, REFUSED, REPLIES, CannedNode, happened, running

HEAVY = ("trio", "libp2p", "mls", "ordering", "cryptography", "apsw", "starlette", "hypercorn", "structlog", "rich")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CONCLAVE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text("")
    return tmp_path


@pytest.fixture
def node(data_dir: Path) -> Iterator[CannedNode]:
    with running(CannedNode(), data_dir / "api.sock") as node:
        yield node


def conclave(data_dir: Path, *words: str, stdin: str | bytes | None = None) -> Result:
    """Run a command against the node of this folder."""
    return CliRunner().invoke(root, ["--data-dir", str(data_dir), *words], input=stdin)


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command's words."""
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


def loaded_by(*words: str) -> set[str]:
    """The top-level modules a run of the command has loaded."""
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('\\n' + ' '.join(sys.modules), file=sys.stderr))\n"
        f"sys.argv[1:] = {list(words)!r}\n"
        "from node.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return {name.split(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    """Help that takes a second is help nobody asks for; loading libp2p alone costs five."""
    for words in ((), ("group",), ("group", "add"), ("run",), ("init",), ("log", "verify"), ("testnet", "demo")):
        found = loaded_by(*words, "--help")
        assert "click" in found
        assert not found & {*HEAVY, "msgspec", "http", "asyncio", "email"}, words


def test_a_client_command_loads_no_engine(data_dir: Path) -> None:
    """`status` in a shell prompt or a cron line must stay cheap."""
    assert not loaded_by("--data-dir", str(data_dir), "status") & set(HEAVY)


def cpu_s(*words: str) -> float:
    """What a command costs."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "node.cli", *words], stdout=subprocess.DEVNULL, timeout=60, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize(("words", "limit_s"), [(("--help",), 0.2), (("status",), 0.3)], ids=["help", "call"])
def test_a_command_is_cheap(node: CannedNode, data_dir: Path, words: tuple[str, ...], limit_s: float) -> None:
    """At its best of several: a busy machine makes everything dearer."""
    assert any(cpu_s("--data-dir", str(data_dir), *words) <= limit_s for _ in range(8))


@pytest.mark.parametrize("words", [(), *commands(root)], ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """And takes the global options, after its name too; every list of commands shows whole sentences."""
    result = CliRunner().invoke(root, [*words, "--help"], terminal_width=100)

    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage:")
    assert "..." not in result.output.partition("Commands:")[2]
    if "Commands:" not in result.output:
        assert "--json" in result.output
        assert "--data-dir" in result.output


def test_the_exit_codes_are_in_the_help() -> None:
    """Scripts are written by reading it."""
    output = CliRunner().invoke(root, ["--help"]).output

    for code in ("0    done", "1    refused", "2    the command line", "3    no daemon", "4    accepted"):
        assert code in output


def test_every_operation_has_its_command() -> None:
    """What the daemon can do and nobody can ask for is not there."""
    files = Path(cli.__file__).parent.glob("*.py")
    used = {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id.endswith("operations")
    }

    named = {
        name: value
        for table in (operations, contact_operations, token_operations)
        for name, value in vars(table).items()
        if isinstance(value, operations.Operation)
    }
    assert set(named.values()) == set(operations.OPERATIONS)
    assert used == set(named)


def test_the_settings_flags_are_the_settings() -> None:
    """They are named twice; they must stay the same."""
    assert set(settings.SETTINGS) | settings.GLOBAL == set(config.SETTINGS)
    assert {key for key, field in config.SETTINGS.items() if field.type is bool} == settings.SWITCHES


@pytest.mark.parametrize(
    ("words", "nearest"),
    [(("statsu",), "status"), (("group", "crate"), "create"), (("group", "list", "--jsn"), "--json")],
)
def test_a_mistyped_command_is_answered_with_the_nearest(words: tuple[str, ...], nearest: str) -> None:
    """Exit code 2, and a guess."""
    result = CliRunner().invoke(root, words)

    assert result.exit_code == 2
    assert f"Did you mean '{nearest}'?" in result.output


def test_without_a_daemon_it_says_which_socket_and_how_to_start_it(data_dir: Path) -> None:
    """Exit code 3 means exactly this."""
    result = conclave(data_dir, "status")

    assert result.exit_code == 3
    assert f"no daemon answers on {data_dir}/api.sock" in result.stderr
    assert f"start it: conclave --data-dir {data_dir} run" in result.stderr


def test_without_a_node_it_says_how_to_make_one(tmp_path: Path) -> None:
    """`run` would fail there too."""
    result = conclave(tmp_path / "none yet", "group", "list")

    assert result.exit_code == 3
    assert f"conclave --data-dir '{tmp_path}/none yet' init" in result.stderr


def test_failures_are_json_where_asked_for(data_dir: Path) -> None:
    """The API's own shape, on standard error."""
    result = conclave(data_dir, "status", "--json")

    assert result.stdout == ""
    problem = json.loads(result.stderr)
    assert (problem["code"], problem["exit"]) == ("not_running", result.exit_code)
    assert "run" in problem["hint"]


def test_a_configuration_mistake_is_a_usage_error(data_dir: Path) -> None:
    """All of them at once, with where they were said."""
    (data_dir / "node.toml").write_text("[node]\nnaem = 'x'\nlog_level = 'loud'\n")

    result = conclave(data_dir, "status")

    assert result.exit_code == 2
    assert "naem" in result.stderr
    assert "did you mean" in result.stderr
    assert "'loud'" in result.stderr


JSON_CASES: list[tuple[tuple[str, ...], str, schema.Request]] = [
    (("status",), "status", schema.Nothing()),
    (("id",), "identity", schema.Nothing()),
    (("peers",), "peers", schema.Nothing()),
    (("connect", "/ip4/1.2.3.4/tcp/1/p2p/x"), "connect", schema.ConnectRequest(address="/ip4/1.2.3.4/tcp/1/p2p/x")),
    (("name", "12D3KooWBob", "Bob"), "peer_name", schema.PeerNameRequest(peer="12D3KooWBob", name="Bob")),
    (("group", "list"), "group_list", schema.Nothing()),
    (
        ("group", "create", "book club", "--suite", "3", "--model", "crash", "--voters", "5"),
        "group_create",
        schema.GroupCreateRequest(name="book club", suite=3, model="crash", committee_max=5),
    ),
    (("group", "show", "g"), "group_show", schema.GroupRequest(group="g")),
    (("group", "add", "g", "p"), "group_add", schema.GroupAddRequest(group="g", peer="p")),
    (
        ("group", "add", "g", "bob", "carol"),
        "group_add_many",
        schema.GroupAddManyRequest(group="g", peers=("bob", "carol"), timeout_s=1.0),
    ),
    (
        ("group", "adds", "g", "22", "--no-wait"),
        "group_adds",
        schema.GroupAddsRequest(group="g", batch_id="22", wait=False),
    ),
    (
        ("group", "remove", "g", "#0", "--timeout", "2.5"),
        "group_remove",
        schema.GroupRemoveRequest(group="g", member="#0", timeout_s=2.5),
    ),
    (("contact", "card"), "contact_card", schema.Nothing()),
    (("contact", "list"), "contact_list", schema.Nothing()),
    (
        ("contact", "add", "conclave:card:AA", "--name", "bob"),
        "contact_add",
        contact_schema.ContactAddRequest(card="conclave:card:AA", name="bob"),
    ),
    (("contact", "show", "bob"), "contact_show", contact_schema.ContactRequest(contact="bob")),
    (
        ("contact", "verify", "bob", "--code", "12345"),
        "contact_verify",
        contact_schema.ContactVerifyRequest(contact="bob", code="12345"),
    ),
    (
        ("contact", "verify", "bob", "--yes"),
        "contact_verify",
        contact_schema.ContactVerifyRequest(contact="bob", matches=True),
    ),
    (
        ("contact", "rename", "bob", "Bobby"),
        "contact_rename",
        contact_schema.ContactRenameRequest(contact="bob", name="Bobby"),
    ),
    (("contact", "block", "bob"), "contact_block", contact_schema.ContactRequest(contact="bob")),
    (("contact", "unblock", "bob"), "contact_unblock", contact_schema.ContactRequest(contact="bob")),
    (("contact", "remove", "bob"), "contact_remove", contact_schema.ContactRequest(contact="bob")),
    (
        ("group", "invite", "g", "--uses", "3", "--expires", "12h", "--auto"),
        "group_invite",
        contact_schema.GroupInviteRequest(group="g", uses=3, lifetime_s=12 * 3600, auto=True),
    ),
    (("group", "invites", "g"), "group_invites", schema.GroupRequest(group="g")),
    (("group", "uninvite", "g", "ab"), "group_uninvite", contact_schema.InviteRequest(group="g", invite="ab")),
    (("group", "requests", "g"), "group_requests", schema.GroupRequest(group="g")),
    (
        ("group", "approve", "g", "~bob", "--timeout", "2.5"),
        "group_approve",
        contact_schema.ApproveRequest(group="g", request="~bob", timeout_s=2.5),
    ),
    (("group", "refuse", "g", "~bob"), "group_refuse", contact_schema.JoinerRequest(group="g", request="~bob")),
    (
        ("group", "join", "conclave:invite:AA", "--name", "soup", "--no-wait"),
        "group_join",
        contact_schema.JoinRequest(link="conclave:invite:AA", name="soup", wait=False),
    ),
    (("group", "joins"), "group_joins", schema.Nothing()),
    (("group", "invitations"), "group_invitations", schema.Nothing()),
    (("group", "accept", "ab12"), "group_accept", contact_schema.InvitationRequest(invitation="ab12")),
    (("group", "decline", "ab12"), "group_decline", contact_schema.InvitationRequest(invitation="ab12")),
    (("group", "update", "g", "--no-wait"), "group_update", schema.ChangeRequest(group="g", wait=False)),
    (("group", "readd", "g", "bob"), "group_readd", schema.GroupAddRequest(group="g", peer="bob")),
    (("group", "rejoin", "g"), "group_rejoin", schema.GroupRequest(group="g")),
    (
        ("group", "rescue", "g", "--lost", "bob", "--yes"),
        "group_rescue",
        schema.GroupRescueRequest(group="g", lost=("bob",)),
    ),
    (
        ("group", "rescue", "g", "--follow", "ab", "--yes"),
        "group_rescue",
        schema.GroupRescueRequest(group="g", follow="ab"),
    ),
    (("group", "rescue", "g", "--withdraw"), "group_rescue", schema.GroupRescueRequest(group="g", withdraw=True)),
    (("group", "opt-in", "g"), "group_opt_in", schema.ChangeRequest(group="g")),
    (("group", "opt-out", "g"), "group_opt_out", schema.ChangeRequest(group="g")),
    (("group", "leave", "g"), "group_leave", schema.ChangeRequest(group="g")),
    (("group", "bench", "g", "#2"), "group_bench", schema.GroupMemberRequest(group="g", member="#2")),
    (
        ("group", "policy", "g", "--pin", "bob", "--pin", "cyn", "--model", "crash", "--voters-max", "5"),
        "group_policy",
        schema.GroupPolicyRequest(group="g", policy="pinned", pins=("bob", "cyn"), model="crash", committee_max=5),
    ),
    (
        ("group", "policy", "g", "--policy", "all", "--delta-ms", "50"),
        "group_policy",
        schema.GroupPolicyRequest(group="g", policy="all", delta_ms=50),
    ),
    (("group", "wait", "g", "11"), "group_intent", schema.IntentRequest(group="g", intent_id="11")),
    (("group", "send", "g", "two", "words"), "group_send", schema.GroupSendRequest(group="g", text="two words")),
    (("group", "read", "g"), "group_read", schema.GroupReadRequest(group="g", limit=1000)),
    (("group", "receipt", "g"), "group_receipt", schema.GroupReceiptRequest(group="g")),
    (("group", "receipt", "g", "ab"), "group_receipt", schema.GroupReceiptRequest(group="g", message="ab")),
    (("group", "log", "g", "--after", "2"), "group_log", schema.GroupLogRequest(group="g", after_epoch=2, limit=1000)),
    (
        ("token", "create", "robot", "--scope", "chat", "--expires", "12h"),
        "token_create",
        token_schema.TokenCreateRequest(name="robot", scope="chat", lifetime_s=12 * 3600),
    ),
    (("token", "list"), "token_list", schema.Nothing()),
    (("token", "revoke", "robot"), "token_revoke", token_schema.TokenRequest(token="robot")),
    (("log", "export", "g"), "group_log_export", schema.GroupRequest(group="g")),
    (("stop",), "shutdown", schema.Nothing()),
]


@pytest.mark.parametrize(
    ("words", "name", "request_"), JSON_CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_asks_its_operation_and_prints_the_reply_as_json(
    node: CannedNode, data_dir: Path, words: tuple[str, ...], name: str, request_: schema.Request
) -> None:
    """`--json` before or after the command's name; what is printed is what the API said."""
    import msgspec

    result = conclave(data_dir, *words, "--json")

    assert result.exit_code == 0, result.output
    assert node.asked == [(name, request_)]
    assert msgspec.json.decode(result.stdout.encode(), type=type(REPLIES[name])) == REPLIES[name]


@pytest.mark.parametrize(
    ("words", "name", "request_"), JSON_CASES[:-2], ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_words_for_people(
    node: CannedNode, data_dir: Path, words: tuple[str, ...], name: str, request_: schema.Request
) -> None:
    """Plain text where the output is not a terminal: no boxes, no colours, no JSON."""
    result = conclave(data_dir, *words)

    assert result.exit_code == 0, result.output
    assert result.stdout.strip()
    assert not set("\x1b│┃━{") & set(result.stdout)


def test_all_is_asked_where_json_names_no_case() -> None:
    """The list above is complete."""
    assert {name for _, name, _ in JSON_CASES} == {one.name for one in operations.OPERATIONS} - {"events"}


def test_status_shows_health_and_the_next_step(node: CannedNode, data_dir: Path) -> None:
    """A group must not die silently."""
    import msgspec

    sick = msgspec.structs.replace(
        REPLIES["status"],
        groups=(
            msgspec.structs.replace(
                DETAIL, health="no_quorum", health_text="1 of 3 voters answers", next_step="start alice's node"
            ),
        ),
    )
    node.replies["status"] = sick

    output = conclave(data_dir, "status").stdout

    assert "no_quorum" in output
    assert "book club: 1 of 3 voters answers; start alice's node" in output


@pytest.mark.parametrize(
    ("reply", "extra", "exit_code", "words"),
    [
        (INTENT, (), 0, "added bob (epoch 4, 50 ms)"),
        (PENDING, (), 4, "group wait g 1111111111111111"),
        (PENDING, ("--no-wait",), 0, "group wait g 1111111111111111"),
        (REFUSED, (), 1, "not removed: the policy does not allow it [refused]\n  ask a voter"),
        (
            ApiError(ErrorCode.GROUP_NOT_FOUND, "there is no group 'g'", "did you mean 'gg'?"),
            (),
            1,
            "did you mean 'gg'?",
        ),
        (ApiError(ErrorCode.BAD_REQUEST, "no"), (), 2, "no"),
        (ApiError(ErrorCode.SHUTTING_DOWN, "the daemon is stopping"), (), 3, "stopping"),
        (RuntimeError("inside"), (), 1, "the daemon failed"),
    ],
)
def test_a_change_ends_with_the_code_of_its_outcome(
    node: CannedNode,
    data_dir: Path,
    reply: schema.Reply | Exception,
    extra: tuple[str, ...],
    exit_code: int,
    words: str,
) -> None:
    """Certified, refused and not yet are three things to a script."""
    node.replies["group_add"] = reply

    result = conclave(data_dir, "group", "add", "g", "p", *extra)

    assert result.exit_code == exit_code
    assert words in result.output


def test_a_pending_change_is_code_4_in_json_too(node: CannedNode, data_dir: Path) -> None:
    """The reply is printed all the same."""
    node.replies["group_update"] = PENDING

    result = conclave(data_dir, "group", "update", "g", "--json")

    assert result.exit_code == 4
    assert json.loads(result.stdout)["state"] == "pending"


def test_a_message_may_come_from_standard_input(node: CannedNode, data_dir: Path) -> None:
    """Whole, with its lines; less the last line's end."""
    assert conclave(data_dir, "group", "send", "g", "-", stdin="eins\nzwei ü\n").exit_code == 0

    assert node.asked == [("group_send", schema.GroupSendRequest(group="g", text="eins\nzwei ü"))]


@pytest.mark.parametrize(
    ("words", "stdin", "exit_code"),
    [
        (("",), None, 2),
        (("-",), "", 2),
        (("x" * 40_000,), None, 2),
        (("-",), "x" * 200_000, 2),
        (("-",), b"\xff\xfe", 1),
    ],
)
def test_what_cannot_be_sent_is_not_asked_for(
    node: CannedNode, data_dir: Path, words: tuple[str, ...], stdin: str | bytes | None, exit_code: int
) -> None:
    """Empty, too long, or no text."""
    assert conclave(data_dir, "group", "send", "g", *words, stdin=stdin).exit_code == exit_code
    assert node.asked == []


@pytest.mark.parametrize(
    ("stored_at", "delivered_to", "recipients", "became"),
    [
        (0, 0, 2, "  [sealed]"),
        (1, 0, 2, "  [at 1 mailbox]"),
        (2, 1, 3, "  [at 2 mailboxes, 1 of 3 have it]"),
        (2, 3, 3, "  [all have it]"),
        (0, 0, 0, "  [sealed]"),
        (0, 0, None, "  [sealed]"),
    ],
)
def test_own_messages_say_how_far_they_have_come(
    node: CannedNode, data_dir: Path, stored_at: int, delivered_to: int, recipients: int | None, became: str
) -> None:
    """Those of others say nothing of it."""
    import msgspec

    own = msgspec.structs.replace(
        MESSAGE, is_own=True, text="soup", stored_at=stored_at, delivered_to=delivered_to, recipients=recipients
    )
    other = msgspec.structs.replace(MESSAGE, is_own=False, text="bread")
    node.replies["group_read"] = schema.MessagePage(messages=(own, other), last_seq=4, has_more=False)

    first, second = conclave(data_dir, "group", "read", "g").stdout.splitlines()

    assert first.endswith(f"soup{became}")
    assert second.endswith("bread")


def test_a_receipt_names_who_has_a_message(node: CannedNode, data_dir: Path) -> None:
    """And where it is kept."""
    lines = conclave(data_dir, "group", "receipt", "g").stdout.splitlines()

    assert "delivered  to 1 of 2" in lines
    assert "stored at  12D3KooWBox" in lines
    assert any(line.startswith("12D3KooWBob") and line.endswith("yes") for line in lines)
    assert any(line.startswith("12D3KooWCarol") and line.endswith("not heard, gone") for line in lines)


def test_the_status_names_mailboxes_at_fault(node: CannedNode, data_dir: Path) -> None:
    """With the reason, and what it lacks."""
    output = conclave(data_dir, "status").stdout

    assert "withheld: items acknowledged and not there: 2" in output


def test_messages_cannot_steer_the_terminal(node: CannedNode, data_dir: Path) -> None:
    """A member's text is a stranger's bytes: escape sequences are shown, and no line passes for another's."""
    import msgspec

    evil = msgspec.structs.replace(MESSAGE, text="\x1b]0;gotcha\x07\u202e\n2026-01-01 00:00:00  bob: yes")
    node.replies["group_read"] = schema.MessagePage(messages=(evil,), last_seq=4, has_more=False)

    output = conclave(data_dir, "group", "read", "g").stdout

    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "\\u001b" in output
    assert "\n    2026-01-01" in output


def test_reading_asks_for_all_pages(node: CannedNode, data_dir: Path) -> None:
    """`has_more` is followed; the reply printed is one page of them all."""
    pages = iter(
        [
            schema.MessagePage(messages=(MESSAGE,), last_seq=4, has_more=True),
            schema.MessagePage(messages=(MESSAGE, MESSAGE), last_seq=9, has_more=False),
        ]
    )
    asked: list[int] = []

    async def group_read(request: schema.GroupReadRequest) -> schema.MessagePage:
        asked.append(request.after_seq)
        return next(pages)

    node.methods["group_read"] = group_read

    printed = json.loads(conclave(data_dir, "group", "read", "g", "--json").stdout)

    assert asked == [0, 4]
    assert len(printed["messages"]) == 3
    assert printed["last_seq"] == 9


def test_following_prints_history_then_what_comes(node: CannedNode, data_dir: Path) -> None:
    """One line of JSON per message, each as soon as it is there, until interrupted; code 130 then."""
    import signal

    import msgspec

    later = msgspec.structs.replace(MESSAGE, seq=6, text="later")
    node.tell(happened(5, "not a message of ours"))
    process = subprocess.Popen(
        [sys.executable, "-m", "node.cli", "--data-dir", str(data_dir), "group", "read", "g", "--follow", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        node.tell(schema.Event(seq=6, kind="message", at=1.0, text="", group_id="0d" * 16, message=later))
        second = json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        process.stdout and process.stdout.close()

    assert (first["seq"], second["text"]) == (4, "later")
    assert ("events", schema.EventsRequest(since=4, group="g", wait_s=0.0)) in node.asked
    assert code == 130


def test_events_are_printed_from_a_number_on(node: CannedNode, data_dir: Path) -> None:
    """All that is kept, and no more waiting; a program keeps the last number and asks from there."""
    for seq in (3, 5, 8):
        node.tell(happened(seq, f"number {seq}"))

    lines = conclave(data_dir, "events").stdout.splitlines()
    later = [
        json.loads(line)["seq"] for line in conclave(data_dir, "events", "--since", "3", "--json").stdout.splitlines()
    ]

    assert [line.split()[0] for line in lines] == ["3", "5", "8"]
    assert later == [5, 8]


def test_events_are_followed_from_a_number_on(node: CannedNode, data_dir: Path) -> None:
    """The same cursor as the API's, and across what happens meanwhile."""
    import signal

    node.tell(happened(3))
    node.tell(happened(5))
    process = subprocess.Popen(
        [sys.executable, "-m", "node.cli", "--data-dir", str(data_dir), "events", "--follow", "--since", "3", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        node.tell(happened(9))
        second = json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        process.stdout and process.stdout.close()

    assert (first["seq"], second["seq"], code) == (5, 9, 130)


@pytest.mark.parametrize(("is_ok", "exit_code"), [(True, 0), (False, 1)])
def test_log_verify_reads_the_store_and_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_ok: bool, exit_code: int
) -> None:
    """The verdict is the exit code; the key is the vault's."""
    assert conclave(tmp_path, "init").exit_code == 0
    seen: list[Any] = []
    problems = () if is_ok else (schema.VerifyProblem(epoch=2, text="2 of 3 signatures"),)

    def verify_group(data_dir: Path, group: str, key: Any) -> schema.VerifyReport:
        seen.extend((data_dir, group, len(key.value)))
        return schema.VerifyReport(
            group_id="0d",
            name="book club",
            ok=is_ok,
            anchor="genesis",
            first_epoch=1,
            last_epoch=3,
            decision_count=3,
            signature_count=9,
            head_id="cd",
            problems=problems,
        )

    module = ModuleType("node.verify")
    module.verify_group = verify_group  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "node.verify", module)

    result = conclave(tmp_path, "log", "verify", "book club")

    assert result.exit_code == exit_code
    assert seen == [tmp_path, "book club", 32]
    assert ("epoch 2: 2 of 3 signatures" in result.stdout) is not is_ok
    assert ("every decision is certified" in result.stdout) is is_ok


def test_run_hands_configuration_and_key_to_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And prints one line when it is ready: the address to share."""
    assert conclave(tmp_path, "init").exit_code == 0
    seen: list[Any] = []

    def run(config: config.Config, key_of: Any, *, on_ready: Any) -> None:
        seen.extend((config.data_dir, config.network.peers, config.node.always_on, len(key_of().value)))
        on_ready(REPLIES["identity"])

    module = ModuleType("node.process")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "node.process", module)

    result = conclave(tmp_path, "run", "--always-on")

    assert result.exit_code == 0, result.output
    assert result.stdout == "ready: /ip4/127.0.0.1/tcp/2/p2p/12D3KooWBob\n"
    assert seen == [tmp_path, (), True, 32]


@pytest.mark.parametrize(("is_good", "exit_code"), [(True, 0), (False, 1)])
def test_the_demos_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, is_good: bool, exit_code: int) -> None:
    """Whatever it prints."""
    asked: list[dict[str, Any]] = []

    def demo(**options: Any) -> bool:
        asked.append(options)
        return is_good

    module = ModuleType("node.testnet")
    module.demo = demo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "node.testnet", module)

    result = CliRunner().invoke(root, ["testnet", "demo", "--rounds", "3", "--seed", "7"])

    assert result.exit_code == exit_code
    assert asked == [{"nodes": 4, "rounds": 3, "seed": 7, "is_json": False, "keep": False}]


@pytest.mark.parametrize(("is_good", "exit_code"), [(True, 0), (False, 1)])
def test_a_scenarios_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, is_good: bool, exit_code: int) -> None:
    """As the demo's."""
    asked: list[dict[str, Any]] = []

    def play(name: str, **options: Any) -> bool:
        asked.append({"name": name, **options})
        return is_good

    monkeypatch.setattr(scenarios, "play", play)

    result = CliRunner().invoke(root, ["testnet", "scenario", "offline", "--quick", "--seed", "7"])

    assert result.exit_code == exit_code
    assert asked == [{"name": "offline", "seed": 7, "is_json": False, "keep": False, "quick": True}]


def test_scenarios_are_listed_and_an_unknown_one_names_them() -> None:
    """Nobody has to guess."""
    assert "offline  " in CliRunner().invoke(root, ["testnet", "scenario"]).output
    listed = CliRunner().invoke(root, ["testnet", "scenario", "--json"]).output
    assert json.loads(listed).keys() == scenarios.SCENARIOS.keys()

    unknown = CliRunner().invoke(root, ["testnet", "scenario", "oflfine"])
    assert unknown.exit_code == 2
    assert "there is no scenario 'oflfine'; there is: offline" in unknown.output


def test_the_version_is_the_distributions() -> None:
    """One source for it."""
    output = CliRunner().invoke(root, ["--version"]).output

    assert output == f"conclave {VERSION}\n"


def test_a_table_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn or plain, the cells are the same and markup in them is text."""
    from node.cli import output

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stdout", stream)
        output.print_table(("NAME", "N"), [("[bold]x[/bold]", 7), ("\x1b[31m", 0)])
        assert "[bold]x[/bold]" in stream.getvalue()
        assert "\\u001b" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (12.3, "12 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (90_061, "1 d 1 h")],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    """Two units are enough."""
    assert lasting(seconds) == words


def test_harmless_text_is_left_as_it_is() -> None:
    """Umlauts, emoji and line ends are not attacks."""
    assert safe("grüß 🔒\n\tdich") == "grüß 🔒\n\tdich"


def test_several_adds_tell_of_each_and_show_progress_while_they_last(node: CannedNode, data_dir: Path) -> None:
    """Who is in, who is not and why, and when it is tried again; in the order in which they were named."""
    import msgspec

    bob, carol = ADDS.outcomes
    claiming = msgspec.structs.replace(carol, state="claiming", epoch=None)
    begun = msgspec.structs.replace(ADDS, outcomes=(bob, claiming), is_settled=False)
    retrying = msgspec.structs.replace(
        carol, state="retrying", reason="its key package expired on 2026-01-01", attempts=1, retry_s=30.0
    )
    refused = msgspec.structs.replace(carol, state="refused", reason="it is blocked here", intent_id="")
    node.replies["group_add_many"] = begun
    node.replies["group_adds"] = msgspec.structs.replace(ADDS, outcomes=(retrying,))

    result = conclave(data_dir, "group", "add", "g", "bob", "carol")

    assert result.exit_code == 4
    assert "1 of 2 key packages asked for" in result.stderr
    assert "added 1 of 2 (epoch 4)" in result.stdout
    assert "not added yet: its key package expired on 2026-01-01; tried again in 30 s" in result.stdout
    assert f"group adds g {ADDS.batch_id}" in result.stdout
    assert "bob" not in result.stdout.replace(ADDS.batch_id, ""), "who is in is only counted"

    node.replies["group_add_many"] = msgspec.structs.replace(ADDS, outcomes=(bob, refused))
    result = conclave(data_dir, "group", "add", "g", "bob", "carol")
    assert result.exit_code == 1
    assert "not added: it is blocked here" in result.stdout
