"""Two daemons, each with the command line its user has: from `init` to chatting by a card and a link."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.node.daemon_world import Daemon, conclave
from tests.node.networks import routed


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Daemon, Daemon]]:
    made = (Daemon(tmp_path / "ada"), Daemon(tmp_path / "bob"))
    yield made
    for node in made:
        node.kill()


def test_a_card_a_number_and_a_link_and_they_chat(nodes: tuple[Daemon, Daemon]) -> None:
    """What the README shows, with all defaults: nobody is dialled by hand, and only contacts add anybody."""
    ada, bob = nodes
    began_s = time.monotonic()
    for node in nodes:
        node.init(accept="contacts")
        node.begin()
    for node in nodes:
        node.until_ready()

    card = ada.say("contact", "card").strip()
    assert bob.say("contact", "add", card).startswith("ada is a contact (")
    ada.say("contact", "add", bob.say("contact", "card").strip())
    numbers = ada.ask("contact", "show", "bob")["safety_number"], bob.ask("contact", "show", "ada")["safety_number"]
    assert numbers[0] == numbers[1]
    assert len(numbers[0].replace(" ", "")) == 60
    assert ada.say("contact", "verify", "bob", "--code", bob.ask("contact", "show", "ada")["safety_words"]) == (
        "bob is verified\n"
    )
    wrong = conclave(ada.folder, "contact", "verify", "bob", "--code", numbers[0].replace(numbers[0][0], "x", 1))
    assert wrong.exit_code == 2
    broken = conclave(bob.folder, "contact", "add", card[:-4])
    assert broken.exit_code == 1
    assert "mistyped or cut short" in broken.stderr

    ada.say("group", "create", "lunch")
    link = ada.say("group", "invite", "lunch").strip()
    waiting = conclave(bob.folder, "group", "join", link, "--timeout", "3")
    assert (waiting.exit_code, waiting.output.splitlines()[0]) == (
        4,
        "ada has to approve: waiting to be let into lunch",
    )
    assert "bob" in ada.say("group", "requests", "lunch")
    assert ada.say("group", "approve", "lunch", "bob").startswith("added bob (epoch 1")
    eventually(lambda: [one["name"] for one in bob.ask("group", "list")["groups"]] == ["lunch"])
    bob.say("group", "send", "lunch", "soup at noon?")
    eventually(lambda: "bob: soup at noon?" in ada.say("group", "read", "lunch"))
    print(f"from init to chatting, with cards and approval: {time.monotonic() - began_s:.1f} s")
    assert ada.say("group", "requests", "lunch") == "nobody asks\n"
    assert "waiting" not in bob.say("group", "joins")


def test_an_automatic_link_leads_from_nothing_to_chatting(nodes: tuple[Daemon, Daemon]) -> None:
    """Two commands at each end, and no yes in between."""
    ada, bob = nodes
    began_s = time.monotonic()
    for node in nodes:
        node.init(accept="contacts")
        node.begin()
    for node in nodes:
        node.until_ready()
    ready_s = time.monotonic()
    ada.say("group", "create", "lunch")
    link = ada.say("group", "invite", "lunch", "--auto").strip()
    assert bob.say("group", "join", link).startswith("joined lunch (epoch 1, 2 members)")
    joined_s = time.monotonic()
    ada.say("group", "send", "lunch", "welcome")
    eventually(lambda: "~ada: welcome" in bob.say("group", "read", "lunch"))
    ended_s = time.monotonic()
    print(f"ready {ready_s - began_s:.1f} s, joined {joined_s - ready_s:.1f} s, read {ended_s - joined_s:.1f} s later")
    assert conclave(bob.folder, "group", "join", link).exit_code == 1
    assert (ada.end(signal.SIGTERM), bob.end(signal.SIGTERM)) == (0, 0)
    for node in nodes:
        assert "error" not in node.log_path.read_text()


def test_one_link_between_two_machines(tmp_path: Path) -> None:
    """Separate networks, nothing but the defaults, and one string copied from one to the other."""
    with routed({"ada": 1, "bob": 2}) as machines:
        ada, bob = (Daemon(tmp_path / who, netns=name) for who, (name, _) in machines.items())
        try:
            for node in (ada, bob):
                node.init("--network-listen", "/ip4/0.0.0.0/tcp/4840", accept="contacts")
                node.begin()
            for node in (ada, bob):
                node.until_ready()
            ada.say("group", "create", "family")
            link = ada.say("group", "invite", "family").strip()
            conclave(bob.folder, "group", "join", link, "--no-wait")
            eventually(lambda: "~bob" in ada.say("group", "requests", "family"))
            assert ada.say("group", "approve", "family", "~bob").startswith("added ~bob (epoch 1")
            eventually(lambda: bob.ask("group", "list")["groups"] != [])
            bob.say("group", "send", "family", "hello")
            eventually(lambda: "~bob: hello" in ada.say("group", "read", "family"))
            assert machines["ada"][1] in bob.ask("peers")["peers"][0]["addresses"][0]
        finally:
            ada.kill()
            bob.kill()


def eventually(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Ask again until it is so."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.1)
