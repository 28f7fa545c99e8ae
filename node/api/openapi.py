"""The API as an OpenAPI 3.1 document, made of the operation table: served at /openapi.json.

The schemas are those by which requests are read and replies written (`node.api.schema`), so the document cannot say
something else than the server does.
"""

import inspect
from functools import cache
from typing import Any, Final

import msgspec

from node.api.answers import JSON, PROBLEM
from node.api.operation import Operation
from node.api.operations import OPERATIONS
from node.api.schema import Problem
from node.version import VERSION

REF: Final = "#/components/schemas/{name}"
EVENT_STREAM: Final = "text/event-stream"

ABOUT: Final = """The local API of a Conclave node. On the unix socket `api.sock` of its data directory, whoever may
open the socket may do everything. Over HTTP, which is off unless the setting `api.http` says where, every call needs a
token of a scope that is enough (`x-scope`): `read`, `chat`, or `admin`, each including those before it."""


@cache
def openapi_json() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """The whole document."""
    requests = [one.request for one in OPERATIONS]
    said = [one.reply for one in OPERATIONS]
    _, schemas = msgspec.json.schema_components([*requests, *said, Problem], ref_template=REF)
    asked = {name: schemas.pop(name) for name in {request.__name__ for request in requests}}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        described = _operation(operation, asked[operation.request.__name__])
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Conclave", "version": VERSION, "description": " ".join(ABOUT.split())},
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def path_fields(operation: Operation[Any, Any]) -> tuple[str, ...]:
    """The fields of the request that stand in the path, in its order."""
    return tuple(part[1:-1] for part in operation.path.split("/") if part.startswith("{"))


def _operation(operation: Operation[Any, Any], request: dict[str, Any]) -> dict[str, Any]:
    fields, required = request["properties"], request.get("required", [])
    in_path = path_fields(operation)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {**fields[name], "pattern": "^[^/]+$"}}
        for name in in_path
    ]
    rest = {name: field for name, field in fields.items() if name not in in_path}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.doc,
        "description": inspect.getdoc(operation.request) or "",
        "tags": [operation.path.split("/")[2]],
        "x-scope": operation.scope,
        "x-command": f"conclave {operation.words}",
    }
    if operation.method == "GET":
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _in_query(field)}
            for name, field in rest.items()
        ]
    else:
        needed = [name for name in required if name in rest]
        body = {"type": "object", "properties": rest, "required": needed, "additionalProperties": False}
        described["requestBody"] = {"required": bool(needed), "content": {JSON: {"schema": body}}}
    if operation.is_stream:
        last = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        parameters.append({"name": "Last-Event-ID", "in": "header", "required": False, "schema": last})
    if parameters:
        described["parameters"] = parameters
    described["responses"] = _responses(operation)
    return described


def _responses(operation: Operation[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": {"$ref": REF.format(name=operation.reply.__name__)}}}
    if operation.is_stream:
        content = {EVENT_STREAM: {"schema": {"type": "string"}}, **content}
    problem = {PROBLEM: {"schema": {"$ref": REF.format(name="Problem")}}}
    return {
        "200": {"description": operation.doc, "content": content},
        "4XX": {"description": "It was not done; the body says why, and what to do about it.", "content": problem},
        "5XX": {"description": "Likewise; the node or a peer could not.", "content": problem},
    }


def _in_query(field: dict[str, Any]) -> dict[str, Any]:
    """A field's schema as text in a query has it: what is not given is left out, there is no null."""
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if not choices:
        return field
    return choices[0] if len(choices) == 1 else {"anyOf": choices}
