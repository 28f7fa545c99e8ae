"""The scripts of the working group's test runner, played by clients in this process and by servers over gRPC.

In every suite and with handshake messages of both kinds. That holds for the long script and over gRPC too where it is
asked for (`make interop`), else for a part; the run's last lines say what was played.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from mls import DEFAULT_PROFILE, InvalidError, supported_suites
from mls.interop import Client
from mls.interop.service import serve
from tests.mls.interop.once import each_check_once
from tests.mls.interop.remote import connected
from tests.mls.interop.script import Play
from tests.vectors import played, scripts

EVERYTHING = os.environ.get("CONCLAVE_INTEROP") == "all"
"""Minutes rather than half a minute."""

FILES = ("application", "branch", "commit", "external_join", "external_proposals", "reinit", "welcome_join")
LONG = "deep_random"
SUITES = tuple(int(each) for each in supported_suites())
DEFAULT = int(DEFAULT_PROFILE.cipher_suite("MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519"))
OVER_GRPC = SUITES if EVERYTHING else (1, 2, DEFAULT)
ALWAYS_LONG = ((1, True), (DEFAULT, False))
"""The long script where nobody asks for more: one classic suite with PrivateMessages, the default with public ones."""

modes = pytest.mark.parametrize("encrypted", [False, True], ids=["public", "private"])
when_asked = pytest.mark.skipif(not EVERYTHING, reason="minutes in all: played by `make interop`")


def new_client() -> Client:
    return Client(os.urandom, lambda: int(time.time()), supported_suites())


@pytest.fixture(scope="module")
def servers() -> Iterator[Sequence[Client]]:
    """Two servers on ports of their own: one actor is at the first, the next at the second."""
    with ExitStack() as stack:
        remotes = []
        for _ in range(2):
            server, port = serve(new_client(), "127.0.0.1:0")
            stack.callback(lambda server: server.stop(grace=None).wait(), server)
            remotes.append(stack.enter_context(connected(port)))
        yield remotes


def play(file: str, cast: Sequence[Client], suite_id: int, encrypted: bool, where: str = "") -> None:
    for name, script in scripts(file).items():
        try:
            Play(cast, suite_id, encrypted).run(script)
        except AssertionError as error:
            raise AssertionError(f"{file}/{name}: {error}") from error
        played(f"{where}{file}", suite_id, "private" if encrypted else "public")


@modes
@pytest.mark.parametrize("suite_id", SUITES, ids=hex)
@pytest.mark.parametrize("file", FILES)
def test_clients_in_one_process_play_the_scripts(file: str, suite_id: int, encrypted: bool) -> None:
    play(file, [new_client(), new_client()], suite_id, encrypted)


@modes
@pytest.mark.parametrize("suite_id", OVER_GRPC, ids=hex)
@pytest.mark.parametrize("file", FILES)
def test_clients_behind_grpc_play_the_scripts(
    file: str, suite_id: int, encrypted: bool, servers: Sequence[Client]
) -> None:
    play(file, servers, suite_id, encrypted, "gRPC ")


@pytest.mark.parametrize(
    ("suite_id", "encrypted"),
    [
        pytest.param(
            suite_id,
            encrypted,
            marks=() if (suite_id, encrypted) in ALWAYS_LONG else when_asked,
            id=f"{suite_id:#x}-{'private' if encrypted else 'public'}",
        )
        for suite_id in SUITES
        for encrypted in (False, True)
    ],
)
def test_clients_in_one_process_play_the_long_script(suite_id: int, encrypted: bool) -> None:
    """1,670 steps: a group that grows, shrinks and updates in 90 commits, with eleven external joins."""
    with each_check_once():
        play(LONG, [new_client(), new_client()], suite_id, encrypted)


@when_asked
@modes
def test_clients_behind_grpc_play_the_long_script(encrypted: bool, servers: Sequence[Client]) -> None:
    """In one suite: the transport does not know them apart."""
    with each_check_once():
        play(LONG, servers, DEFAULT, encrypted, "gRPC ")


def test_a_check_made_once_is_still_made() -> None:
    """What the long script saves on is the second look at the same bytes, not the first."""
    with each_check_once():
        client = new_client()
        row = client.bundle(client.suite_id(1), b"alice").suite
        signer = row.generate_signature_key(os.urandom)
        signature = row.sign_with_label(signer, "a label", b"said")
        for _ in range(2):
            assert row.verify_with_label(signer.public, "a label", b"said", signature)
            assert not row.verify_with_label(signer.public, "a label", b"sold", signature)
            assert not row.verify_with_label(signer.public, "another", b"said", signature)
            with pytest.raises(InvalidError, match="V014"):
                row.check_signature_public_key(b"short")
