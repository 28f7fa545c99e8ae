"""The service as a runner meets it: the definition's shape, statuses for refusals, the command."""

import dataclasses
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import grpc
import pytest

from mls.interop import Client
from mls.interop.answers import ProposalDescription
from mls.interop.schema import METHODS, SERVICE, read_definition
from mls.interop.service import RULE_KEY, serve
from tests.mls.interop.remote import connected

ROOT = Path(__file__).resolve().parents[3]
SUITES = [1, 2, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    server, port = serve(Client(os.urandom, lambda: int(time.time())), "127.0.0.1:0")
    try:
        with connected(port) as remote:
            yield remote
    finally:
        server.stop(grace=None).wait()


class Pair:
    """A group of alice and bob at one server, by state number."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.alice = client.create_group(
            group_id=b"a group", cipher_suite=1, encrypt_handshake=False, identity=b"alice"
        ).state_id
        package = client.create_key_package(cipher_suite=1, identity=b"bob")
        welcome = self.commit(ProposalDescription(b"add", key_package=package.key_package))[1]
        client.handle_pending_commit(state_id=self.alice)
        self.bob = client.join_group(
            transaction_id=package.transaction_id,
            welcome=welcome,
            encrypt_handshake=False,
            identity=b"bob",
            ratchet_tree=b"",
        ).state_id

    def commit(self, *by_value: ProposalDescription) -> tuple[bytes, bytes]:
        """(commit, Welcome) of alice's, pending."""
        made = self.client.commit(
            state_id=self.alice, by_reference=(), by_value=by_value, force_path=False, external_tree=False
        )
        return made.commit, made.welcome

    def epoch(self, state_id: int) -> bytes:
        return self.client.state_auth(state_id=state_id).state_auth_secret


@contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    """The call inside ends with this status, and its detail says all of these."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code().name == code, caught.value.details()
    for word in words:
        assert word in caught.value.details()


# --- the definition ---


def test_every_method_of_the_definition_has_its_python_shape() -> None:
    """`service` carries values over by name: a field without a parameter would be noticed by nobody but a runner."""
    assert SERVICE == "mls_client.MLSClient"
    assert len(METHODS) == 34
    for method in METHODS:
        signature = inspect.signature(getattr(Client, method.python_name), eval_str=True)
        _, *parameters = signature.parameters
        assert parameters == [field.name for field in method.request.DESCRIPTOR.fields], method.name
        given = [field.name for field in dataclasses.fields(signature.return_annotation)]
        assert given == [field.name for field in method.response.DESCRIPTOR.fields], method.name


def test_a_definition_with_more_in_it_than_we_read_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_definition('syntax = "proto3";\nimport "other.proto";\n')


# --- statuses ---


def test_the_engine_and_its_suites(client: Client) -> None:
    assert client.name().name == "Conclave"
    assert list(client.supported_ciphersuites().ciphersuites) == SUITES


def test_numbers_nobody_gave_out(client: Client) -> None:
    pair = Pair(client)
    with refused("NOT_FOUND", "no state 99999"):
        client.state_auth(state_id=99999)
    package = client.create_key_package(cipher_suite=1, identity=b"carol")
    with refused("NOT_FOUND", f"no state {package.transaction_id}"):
        client.state_auth(state_id=package.transaction_id)
    with refused("NOT_FOUND"):
        client.store_psk(state_or_transaction_id=0, psk_id=b"a name", psk_secret=b"a key")
    client.free(state_id=pair.bob)
    with refused("NOT_FOUND"):
        client.free(state_id=pair.bob)


def test_a_key_package_is_good_for_one_join(client: Client) -> None:
    pair = Pair(client)
    package = client.create_key_package(cipher_suite=1, identity=b"carol")
    _, welcome = pair.commit(ProposalDescription(b"add", key_package=package.key_package))
    for answer in (nullcontext(), refused("NOT_FOUND")):
        with answer:
            client.join_group(
                transaction_id=package.transaction_id,
                welcome=welcome,
                encrypt_handshake=False,
                identity=b"carol",
                ratchet_tree=b"",
            )


def test_a_refusal_names_the_rule_and_changes_nothing(client: Client) -> None:
    pair = Pair(client)
    commit, _ = pair.commit()
    before = pair.epoch(pair.bob)
    with pytest.raises(grpc.RpcError) as caught:
        client.handle_commit(state_id=pair.bob, proposal=(), commit=commit[:-1] + bytes([commit[-1] ^ 1]))
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert "(V037)" in caught.value.details()
    assert dict(caught.value.trailing_metadata())[RULE_KEY] == "V037"
    assert pair.epoch(pair.bob) == before
    with refused("INVALID_ARGUMENT", "HandleCommit: MalformedError"):
        client.handle_commit(state_id=pair.bob, proposal=(), commit=b"no message")
    client.handle_commit(state_id=pair.bob, proposal=(), commit=commit)
    client.handle_pending_commit(state_id=pair.alice)
    assert pair.epoch(pair.bob) == pair.epoch(pair.alice) != before


def test_a_message_heard_twice_and_one_from_the_future(client: Client) -> None:
    pair = Pair(client)
    sent = client.protect(state_id=pair.alice, authenticated_data=b"", plaintext=b"hello").ciphertext
    client.unprotect(state_id=pair.bob, ciphertext=sent)
    with refused("ALREADY_EXISTS", "DuplicateError"):
        client.unprotect(state_id=pair.bob, ciphertext=sent)
    pair.commit()
    client.handle_pending_commit(state_id=pair.alice)
    later = client.protect(state_id=pair.alice, authenticated_data=b"", plaintext=b"hello").ciphertext
    with refused("OUT_OF_RANGE", "FutureEpochError"):
        client.unprotect(state_id=pair.bob, ciphertext=later)


def test_a_commit_of_ones_own_waits_and_gives_way(client: Client) -> None:
    """Another's commit ends the epoch that the pending one was made for."""
    pair = Pair(client)
    with refused("FAILED_PRECONDITION", "no commit of this state is pending"):
        client.handle_pending_commit(state_id=pair.alice)
    pair.commit()
    theirs = client.commit(state_id=pair.bob, by_reference=(), by_value=(), force_path=True, external_tree=False)
    client.handle_commit(state_id=pair.alice, proposal=(), commit=theirs.commit)
    with refused("FAILED_PRECONDITION"):
        client.handle_pending_commit(state_id=pair.alice)
    client.handle_pending_commit(state_id=pair.bob)
    assert pair.epoch(pair.alice) == pair.epoch(pair.bob)


def test_what_makes_no_sense(client: Client) -> None:
    pair = Pair(client)
    with refused("UNIMPLEMENTED", "0xf050"):
        client.create_key_package(cipher_suite=0xF050, identity=b"carol")
    with refused("FAILED_PRECONDITION", "no member called b'mallory'"):
        client.remove_proposal(state_id=pair.alice, removed_id=b"mallory")
    with refused("FAILED_PRECONDITION", "no proposal type"):
        pair.commit(ProposalDescription(b"rename"))
    with refused("FAILED_PRECONDITION", "removes the client"):
        commit, _ = pair.commit(ProposalDescription(b"remove", removed_id=b"bob"))
        client.handle_commit(state_id=pair.bob, proposal=(), commit=commit)
    with refused("FAILED_PRECONDITION"):
        client.export(state_id=pair.alice, label="too long", context=b"", key_length=1 << 20)


def test_a_request_in_bytes_that_are_none(client: Client) -> None:
    """Random bytes for every MLS object: a status of ours, not a crash of the server."""
    pair = Pair(client)
    calls = (
        lambda junk: client.add_proposal(state_id=pair.alice, key_package=junk),
        lambda junk: client.add_external_signer(state_id=pair.alice, external_sender=junk),
        lambda junk: client.unprotect(state_id=pair.alice, ciphertext=junk),
        lambda junk: client.handle_commit(state_id=pair.alice, proposal=(junk,), commit=junk),
    )
    for call in calls:
        for junk in (b"", b"\0", b"\0\1\0\1" + bytes(40), bytes(range(256))):
            with refused("INVALID_ARGUMENT"):
                call(junk)


# --- the command ---


def run(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mls.interop", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    with run("--port", "0", "--profile", "openmls") as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline().rpartition(":")[2])
            with connected(port) as client:
                assert list(client.supported_ciphersuites().ciphersuites)[:7] == SUITES
                assert len(client.supported_ciphersuites().ciphersuites) == 18
            with run("--port", str(port)) as second:
                assert second.wait(timeout=30) == 1
                assert second.stderr is not None
                assert f"cannot listen on 127.0.0.1:{port}" in second.stderr.read()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def test_messages_are_padded_as_the_command_says() -> None:
    """Some engines refuse padding, legal as it is; then the rest can still be tested against them."""
    with run("--port", "0", "--padding", "1") as process:
        assert process.stdout is not None
        try:
            with connected(int(process.stdout.readline().rpartition(":")[2])) as client:
                alice = Pair(client).alice
                sizes = {
                    len(client.protect(state_id=alice, authenticated_data=b"", plaintext=bytes(size)).ciphertext)
                    for size in range(1, 8)
                }
            assert len(sizes) == 7
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_without_grpc_the_command_says_what_to_install() -> None:
    program = "import sys, runpy; sys.modules['grpc'] = None; runpy.run_module('mls.interop', run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "install conclave-mls[interop]" in ended.stderr
