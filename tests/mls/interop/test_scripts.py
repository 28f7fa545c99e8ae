"""The scripts of the working group's test runner, played by clients in this process and by servers over gRPC."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from mls import supported_suites
from mls.interop import Client
from mls.interop.kept import RFC9420_SUITES
from mls.interop.service import serve
from tests.mls.interop.remote import connected
from tests.mls.interop.script import Play
from tests.vectors import ran, scripts

EVERYTHING = os.environ.get("CONCLAVE_INTEROP") == "all"
"""Every suite, post-quantum ones too, and the long script: an hour or two rather than half a minute."""

FILES = ("application", "branch", "commit", "external_join", "external_proposals", "reinit", "welcome_join")
LONG = "deep_random"
HERE = tuple(int(each) for each in supported_suites()) if EVERYTHING else (1, 3)
OVER_GRPC = tuple(int(each) for each in RFC9420_SUITES) if EVERYTHING else (1, 3)

in_both_modes = pytest.mark.parametrize("encrypted", [False, True], ids=["public", "private"])
when_asked = pytest.mark.skipif(not EVERYTHING, reason="the long script takes minutes (set CONCLAVE_INTEROP=all)")


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


def play(file: str, cast: Sequence[Client], suite_id: int, encrypted: bool) -> None:
    for name, script in scripts(file).items():
        try:
            Play(cast, suite_id, encrypted).run(script)
        except AssertionError as error:
            raise AssertionError(f"{file}/{name}: {error}") from error
        ran(f"interop-configs/{file}")


@in_both_modes
@pytest.mark.parametrize("suite_id", HERE)
@pytest.mark.parametrize("file", FILES)
def test_clients_in_one_process_play_the_scripts(file: str, suite_id: int, encrypted: bool) -> None:
    play(file, [new_client(), new_client()], suite_id, encrypted)


@in_both_modes
@pytest.mark.parametrize("suite_id", OVER_GRPC)
@pytest.mark.parametrize("file", FILES)
def test_clients_behind_grpc_play_the_scripts(
    file: str, suite_id: int, encrypted: bool, servers: Sequence[Client]
) -> None:
    play(file, servers, suite_id, encrypted)


@when_asked
@in_both_modes
@pytest.mark.parametrize("suite_id", HERE)
def test_clients_in_one_process_play_the_long_script(suite_id: int, encrypted: bool) -> None:
    """1,670 steps: a group that grows, shrinks and updates in 90 commits, with eleven external joins."""
    play(LONG, [new_client(), new_client()], suite_id, encrypted)


@when_asked
@in_both_modes
def test_clients_behind_grpc_play_the_long_script(encrypted: bool, servers: Sequence[Client]) -> None:
    """In one suite: the transport does not know them apart."""
    play(LONG, servers, 1, encrypted)
