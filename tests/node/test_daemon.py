"""The daemon as its operator meets it: real processes, the real command line, signals, crashes, mistakes."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path
from typing import Any

from node.config import load_file
from node.holding import Extra
from node.setup import open_key, read_identity
from node.store import open_store
from node.version import VERSION
from tests.node.daemon_world import Daemon, conclave, daemons, ended, until

TEXTS = ("soup at noon? yes", "nobody may read this line", "after the crash")


def descriptor_with(text: bytes) -> int:
    """A pipe's end to read `text` from."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def test_three_daemons_from_founding_to_the_last_stop(tmp_path: Path) -> None:
    """Every command that changes or shows a group, a crash in the middle, and nothing told to the logs."""
    with daemons(tmp_path, "ada", "bob", "cyn") as (ada, bob, cyn):
        grows_and_talks(ada, bob, cyn)
        survives_a_crash(ada, bob, cyn)
        shrinks_and_grows_again(ada, bob, cyn)
        mistakes_are_explained(ada, cyn)
        everybody_verifies(ada, bob, cyn)
        assert ada.end(signal.SIGTERM) == 0
        assert bob.end(signal.SIGINT) == 0
        assert cyn.ask("stop") == {}
        assert cyn.ended() == 0
        assert not list(tmp_path.glob("*/api.sock"))
        for daemon in (ada, bob, cyn):
            nothing_is_told(daemon)


def grows_and_talks(ada: Daemon, bob: Daemon, cyn: Daemon) -> None:
    founded = ada.ask("group", "create", "Mittwochsrunde")
    assert (founded["epoch"], founded["member_count"]) == (0, 1)
    assert "added" in ada.say("group", "add", "Mittwochsrunde", bob.address)
    added = ada.ask("group", "add", "mittwochsrunde", cyn.address)
    assert added["state"] == "certified"
    until(lambda: ada.ask("group", "show", "Mittwochsrunde")["committee_size"] == 3)
    assert ada.ask("group", "send", "Mittwochsrunde", *TEXTS[0].split())["epoch"] >= 3
    assert "sent in epoch" in bob.say("group", "send", "Mittwochsrunde", TEXTS[1])
    until(lambda: cyn.texts("Mittwochsrunde") == list(TEXTS[:2]))
    assert TEXTS[0] in bob.say("group", "read", "Mittwochsrunde")


def survives_a_crash(ada: Daemon, bob: Daemon, cyn: Daemon) -> None:
    """What was read is still there, what happened meanwhile comes, and the node votes again."""
    peer_id = cyn.ask("id")["peer_id"]
    assert cyn.end(signal.SIGKILL) == -signal.SIGKILL
    assert bob.ask("group", "update", "Mittwochsrunde")["state"] == "certified"
    ada.ask("group", "send", "Mittwochsrunde", TEXTS[2])
    cyn.start()
    assert cyn.ask("id")["peer_id"] == peer_id
    until(lambda: cyn.texts("Mittwochsrunde") == list(TEXTS))
    until(lambda: len({shown(each)["epoch_fingerprint"] for each in (ada, bob, cyn)}) == 1)
    assert cyn.ask("group", "update", "Mittwochsrunde")["state"] == "certified"


def shrinks_and_grows_again(ada: Daemon, bob: Daemon, cyn: Daemon) -> None:
    bob.ask("group", "opt-out", "Mittwochsrunde")
    until(lambda: shown(ada)["committee_size"] == 1)
    bob.ask("group", "opt-in", "Mittwochsrunde")
    until(lambda: shown(ada)["committee_size"] == 3)
    assert "removed" in ada.say("group", "remove", "Mittwochsrunde", cyn.ask("id")["peer_id"][-8:])
    until(lambda: not shown(cyn)["is_member"])
    assert cyn.texts("Mittwochsrunde") == list(TEXTS), "what was received can be read"
    code, lines = cyn.refused("group", "send", "Mittwochsrunde", "too late")
    assert (code, lines[0]) == (1, "Error: this node was removed from the group [not_member]")
    assert "removed" in cyn.say("group", "show", "Mittwochsrunde")
    bob.ask("group", "add", "Mittwochsrunde", cyn.address)
    until(lambda: shown(cyn)["is_member"] and shown(ada)["committee_size"] == 3)


def mistakes_are_explained(ada: Daemon, cyn: Daemon) -> None:
    """One line that says what is wrong, and one that says what to do."""
    stranger = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    for words, code, said, hint in (
        (("group", "show", "Mittwochsrunda"), 1, "there is no group 'Mittwochsrunda'", "did you mean"),
        (("group", "add", "Mittwochsrunde", "dan"), 2, "no peer 'dan' is known here", "address"),
        (("group", "add", "Mittwochsrunde", stranger), 1, "it is not connected", "is it running"),
        (("group", "add", "Mittwochsrunde", f"/ip4/127.0.0.1/tcp/1/p2p/{stranger}"), 1, "cannot connect", ""),
        (("connect", "127.0.0.1:4840"), 2, "127.0.0.1:4840", "/ip4/"),
        (("group", "remove", "Mittwochsrunde", "nobody"), 1, "there is no member 'nobody'", ""),
        (("group", "remove", "Mittwochsrunde", "#0"), 1, "a member cannot commit its own removal", "ask another"),
        (("group", "create", "mittwochsrunde"), 1, "there is a group 'mittwochsrunde' here already", "otherwise"),
        (("group", "wait", "Mittwochsrunde", "00000000"), 1, "there is no intent '00000000'", ""),
    ):
        found, lines = ada.refused(*words)
        assert (found, len(lines) <= 2) == (code, True), lines
        assert lines[0].startswith("Error: "), lines
        assert said in lines[0], lines
        assert hint in "".join(lines[1:]), lines
    code, lines = ada.refused("grup")
    assert (code, lines[-1]) == (2, "Error: No such command 'grup'. Did you mean 'group'?")
    failed = conclave(cyn.folder, "--json", "group", "show", "nowhere")
    assert json.loads(failed.stderr)["code"] == "group_not_found"


def everybody_verifies(ada: Daemon, bob: Daemon, cyn: Daemon) -> None:
    """The log of each, as told and as checked, while the daemons run."""
    until(lambda: len({shown(each)["epoch_fingerprint"] for each in (ada, bob, cyn)}) == 1)
    epoch = shown(ada)["epoch"]
    entries = ada.ask("group", "log", "Mittwochsrunde")["entries"]
    assert [entry["epoch"] for entry in entries] == list(range(1, epoch + 1))
    assert "added" in ada.say("group", "log", "Mittwochsrunde")
    for daemon in (ada, bob, cyn):
        report = daemon.ask("log", "verify", "Mittwochsrunde")
        assert (report["ok"], report["last_epoch"]) == (True, epoch)
    assert "every decision is certified and linked" in ada.say("log", "verify", "Mittwochsrunde")
    for words in (("status",), ("peers",), ("group", "list")):
        ada.ask(*words)
        ada.say(*words)


def nothing_is_told(daemon: Daemon) -> None:
    """Neither the log nor any file of the folder holds a text, a name or a key (the key file excepted)."""
    config = load_file(daemon.folder / "node.toml", {}, {})
    key = open_key(config)
    with open_store(daemon.folder / "store.db", key.value, read_only=True) as store:
        secrets = [key.value, read_identity(store).key.to_bytes()]
        for row in store.groups():
            extra = Extra.decode(row.extra)
            secrets += [extra.vote_key, *(each.key for each in extra.keys)]
    words = ["Mittwochsrunde", *TEXTS]
    forms = [word.encode() for word in words]
    for secret in secrets:
        assert len(secret) >= 32
        forms += [secret, secret[-16:].hex().encode(), base64.b64encode(secret)[:20], repr(secret)[2:20].encode()]
    log = daemon.log_path.read_bytes()
    assert b"joined" in log or daemon.folder.name == "ada", "the log is the right one"
    for path in (daemon.log_path, *daemon.folder.iterdir()):
        if path.name != "vault.key":
            data = path.read_bytes()
            assert not [form for form in forms if form.lower() in data.lower()], path.name
    for name in (b"ada", b"bob", b"cyn"):
        assert name not in log.replace(str(daemon.folder).encode(), b"")


def shown(daemon: Daemon) -> dict[str, Any]:
    detail: dict[str, Any] = daemon.ask("group", "show", "Mittwochsrunde")
    return detail


def test_a_folder_serves_one_process(tmp_path: Path) -> None:
    """A second `run` names the first; neither a changed mode nor a missing node is met with a traceback."""
    folder = tmp_path / "ada"
    missing = ended("--data-dir", str(folder), "run")
    assert missing.returncode == 1
    assert f"conclave --data-dir {folder} init" in missing.stderr

    with daemons(tmp_path, "ada") as (ada,):
        second = ended("--data-dir", str(folder), "run")
        assert second.returncode == 1
        assert second.stderr.startswith(f"Error: data directory {folder} is in use by process {ada.pid};")
        taken = ended("--data-dir", str(tmp_path / "bob"), "init", "--network-listen", ada.address.split("/p2p/")[0])
        assert taken.returncode == 0
        taken = ended("--data-dir", str(tmp_path / "bob"), "run")
        assert taken.returncode == 1
        assert "the port is taken" in taken.stderr
        assert "--network-listen" in taken.stderr
        assert taken.stderr.count("\n") <= 2
        assert ada.end(signal.SIGTERM) == 0

    (folder / "vault.key").chmod(0o644)
    opened = ended("--data-dir", str(folder), "run")
    assert opened.returncode == 1
    assert f"run: chmod 600 {folder}/vault.key" in opened.stderr
    assert "Traceback" not in missing.stderr + second.stderr + taken.stderr + opened.stderr


def test_a_passphrase_from_a_descriptor(tmp_path: Path) -> None:
    """It opens the store, a wrong one does not, and none at all is a question of how to give it."""
    ada = Daemon(tmp_path / "ada")
    try:
        ada.init("--passphrase-fd", str(descriptor_with(b"open sesame\n")))
        none = ended("--data-dir", str(ada.folder), "run")
        assert (none.returncode, "--passphrase-fd" in none.stderr) == (1, True)
        right = descriptor_with(b"open sesame\n")
        ada.start("--passphrase-fd", str(right), pass_fds=(right,))
        os.close(right)
        ada.ask("group", "create", "ours")
        assert ada.end(signal.SIGTERM) == 0
        wrong = conclave(ada.folder, "log", "verify", "ours", "--passphrase-fd", str(descriptor_with(b"barley\n")))
        assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)
        again = conclave(ada.folder, "log", "verify", "ours", "--passphrase-fd", str(descriptor_with(b"open sesame")))
        assert again.exit_code == 0
        assert "sesame" not in ada.log_path.read_text() + none.stderr + again.output
    finally:
        ada.kill()


def test_the_version_is_known_without_an_installation() -> None:
    """From a checkout, too."""
    assert ended("--version").stdout == f"conclave {VERSION}\n"
