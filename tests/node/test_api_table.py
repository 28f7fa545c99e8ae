"""One table of operations: what is made of it, and what is written by hand beside it, say the same."""

import json
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import fields

from node.api.openapi import document, path_fields
from node.api.operations import OPERATIONS, Operation
from node.cli.root import root
from node.client_calls import Calls
from tests.api_pages import CALLS, PAGE, calls, page
from tests.node.test_api_server import REQUESTS

BY_OTHER_WORDS = {
    "peer": "peers",
    "wait": "no_wait",
    "timeout_s": "timeout",
    "after_seq": "after",
    "after_epoch": "after",
    "intent_id": "change_id",
    "contact": "name",
    "token": "name",
    "lifetime_s": "expires",
    "committee_max": "voters_max",
    "order": "shared",
}
"""Fields whose options are called otherwise, for people."""

UNASKED = {"after_place", "wait_s", "matches"}
"""Fields that a command fills in by itself: pages are turned, streams wait, and a person is asked."""

UNLIMITED = {"events"}
"""Commands that print all there is."""


def test_the_reference_is_the_tables() -> None:
    """docs/api.md is generated."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.api_pages"


def test_the_clients_methods_are_the_tables() -> None:
    """So is node/client_calls.py."""
    assert CALLS.read_text(encoding="utf-8") == calls(), "run: python -m tests.api_pages"


def test_every_method_of_the_client_asks_its_operation() -> None:
    """With every field as it was given."""

    class Recorder(Calls):
        def call(self, operation: Operation, request: msgspec.Struct) -> object:  # type: ignore[type-arg, override]
            return operation, request

    for operation in OPERATIONS:
        request = REQUESTS.get(operation.name) or operation.request()
        given = {field.name: getattr(request, field.name) for field in fields(request)}
        assert getattr(Recorder(), operation.name)(**given) == (operation, request)


def test_the_description_has_every_route() -> None:
    """And every field of each, in the path, the query or the body."""
    described = document()["paths"]

    assert sum(map(len, described.values())) == len(OPERATIONS)
    for operation in OPERATIONS:
        one = described[operation.path][operation.method.lower()]
        body = one.get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
        named = {each["name"] for each in one.get("parameters", []) if each["in"] != "header"}
        named |= set(body["content"]["application/json"]["schema"]["properties"])
        assert named == {field.name for field in fields(operation.request)}
        assert one["x-scope"] == operation.scope


def test_references_in_the_description_lead_somewhere() -> None:
    """Generators of clients stop at the first that does not."""
    text = json.dumps(document())
    known = document()["components"]["schemas"]

    assert {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]} == set(known)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_operation_has_its_verb_with_all_its_fields(operation: Operation) -> None:  # type: ignore[type-arg]
    """The words in the table are a command, and what the API can be told the command can be told."""
    command: click.Command = root
    for word in operation.words.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    asked = {parameter.name for parameter in command.params}

    for field in fields(operation.request):
        if field.name in UNASKED or (field.name == "limit" and operation.name in UNLIMITED):
            continue
        names = {field.name, BY_OTHER_WORDS.get(field.name, field.name)}
        assert names & asked, f"conclave {operation.words} cannot be told {field.name}"


def test_a_token_for_reading_changes_nothing() -> None:
    """What is asked by POST changes something."""
    for operation in OPERATIONS:
        assert operation.method == "GET" or operation.scope != "read", operation.name
        assert operation.allows("admin")


def test_paths_name_fields_of_the_request() -> None:
    for operation in OPERATIONS:
        assert set(path_fields(operation)) <= {field.name for field in fields(operation.request)}


def test_the_description_can_be_written(tmp_path: Path) -> None:
    """Without a daemon: a build that makes a client of it needs none."""
    done = CliRunner().invoke(root, ["api", "openapi", "--output", str(tmp_path / "openapi.json")])

    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "openapi.json").read_text()) == json.loads(json.dumps(document()))
    assert json.loads(CliRunner().invoke(root, ["api", "openapi"]).stdout)["openapi"] == "3.1.0"
