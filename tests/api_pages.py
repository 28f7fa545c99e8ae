"""What is written down from the operation table: `python -m tests.api_pages` writes docs/api.md and
node/client_calls.py.

A test compares both with the table, so an operation that is added or changed asks for this command.
"""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import FieldInfo, fields

from node.api import errors
from node.api.errors import ErrorCode, http_status
from node.api.openapi import path_fields
from node.api.operations import OPERATIONS, Operation
from node.cli.exits import MEANINGS
from node.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
CALLS = ROOT / "node" / "client_calls.py"

HEAD = f"""# The local API

Version {VERSION}. This page is made of the operation table (`node/api/operations.py`) by `python -m tests.api_pages`.
The same table makes the routes, `/openapi.json` (OpenAPI 3.1; also `conclave api openapi`) and the methods of
`node.client.Client`; every operation has its verb on the command line. How to use it, from which place and with which
token, is said in [embedding.md](embedding.md#talking-to-a-daemon).
"""


def page() -> str:
    """The reference, whole."""
    parts = [HEAD, "\n## Operations\n"]
    parts += [_operation(operation) for operation in OPERATIONS]
    parts.append("\n## Replies\n\nA reply may grow fields; skip those that you do not know.\n")
    parts += [_struct(struct) for struct in _replies()]
    parts.append("\n## Errors\n\nEvery answer that is not a 2xx is `application/problem+json` with these fields")
    parts.append(" besides `type` and `title`: `status`, `detail` (what is wrong), `code` and `hint` (what to do).\n\n")
    parts.append("| code | status | |\n|---|---|---|\n")
    meanings = _comments(errors, "ErrorCode")
    parts += [f"| `{code}` | {http_status(code)} | {meanings.get(code.name, '')} |\n" for code in ErrorCode]
    parts.append("\n## Exit codes of the command line\n\nThe message is printed on standard error with the code in")
    parts.append(" brackets and the hint below it; with `--json` the problem, and `exit`.\n\n")
    parts.append("| code | |\n|---|---|\n")
    parts += [f"| {int(code)} | {meaning} |\n" for code, meaning in MEANINGS.items()]
    return "".join(parts)


def _operation(operation: Operation[Any, Any]) -> str:
    answers = f"[{operation.reply.__name__}](#{operation.reply.__name__.lower()})"
    if operation.is_stream:
        answers = f"`text/event-stream` of [Event](#event); asked for as `application/json`, one {answers}"
    head = f"\n### {operation.name}\n\n{operation.doc}\n\n`{operation.method} {operation.path}`"
    line = f" · `conclave {operation.words}` · scope `{operation.scope}` · answers {answers}"
    return f"{head}{line}\n" + _fields(operation.request, path_fields(operation))


def _struct(struct: type[msgspec.Struct]) -> str:
    return f"\n### {struct.__name__}\n\n{_paragraph(struct)}\n{_fields(struct, ())}"


def _fields(struct: type[msgspec.Struct], in_path: tuple[str, ...]) -> str:
    comments: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        if issubclass(each, msgspec.Struct) and each.__module__.startswith("node."):
            comments |= _comments(import_module(each.__module__), each.__name__)
    rows = [
        f"| `{field.name}` | {_kind(field.type)} | {_default(field, in_path)} | {comments.get(field.name, '')} |\n"
        for field in fields(struct)
    ]
    return "\n| field | is | default | |\n|---|---|---|---|\n" + "".join(rows) if rows else ""


def _default(field: FieldInfo, in_path: tuple[str, ...]) -> str:
    if field.name in in_path:
        return "in the path"
    if field.required:
        return ""
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{msgspec.json.encode(default).decode()}`"


def _kind(kind: Any) -> str:
    """A type in words, with its bounds."""
    bounds = [str(value) for each in getattr(kind, "__metadata__", ()) if (value := _bound(each))]
    bare = get_args(kind)[0] if bounds or hasattr(kind, "__metadata__") else kind
    origin, inner = get_origin(bare), get_args(bare)
    if origin is Literal:
        text = ", ".join(f"`{msgspec.json.encode(choice).decode()}`" for choice in inner)
    elif origin is tuple:
        text = f"list of {_kind(inner[0])}"
    elif inner:
        text = " or ".join("null" if each is type(None) else _kind(each) for each in inner)
    elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        text = f"[{bare.__name__}](#{bare.__name__.lower()})"
    else:
        names = {str: "text", int: "whole number", float: "number", bool: "true or false", bytes: "base64"}
        text = names[bare]
    return f"{text}, {', '.join(bounds)}" if bounds else text


def _bound(meta: Any) -> str:
    said = []
    if meta.ge is not None or meta.le is not None:
        said.append(f"{meta.ge} to {meta.le}")
    if meta.min_length or meta.max_length:
        said.append(f"size {meta.min_length or 0} to {meta.max_length}")
    return ", ".join(said)


def _replies() -> list[type[msgspec.Struct]]:
    """Everything that replies are made of, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    waiting: list[Any] = [operation.reply for operation in OPERATIONS]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind.__name__ not in found:
                found[kind.__name__] = kind
                waiting += [field.type for field in fields(kind)]
        else:
            waiting += get_args(kind)
    return [found[name] for name in sorted(found)]


def _comments(module: ModuleType, name: str) -> dict[str, str]:
    """The remarks beside the fields of a class."""
    source = inspect.getsource(module)
    lines = source.splitlines()
    [found] = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name]
    remarks = {}
    for statement in found.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(field)) | ast.Assign(targets=[ast.Name(field)]):
                remarks[field] = (
                    lines[(statement.end_lineno or 1) - 1]
                    .partition("  # ")[2]
                    .partition("noqa:")[0]
                    .replace("|", "\\|")
                )
            case _:
                pass
    return remarks


def _paragraph(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


# the client's methods

CALLS_HEAD = '''"""Calls: every operation as a method of the client.

Made of the operation table by `python -m tests.api_pages`; not to be changed by hand.
"""

from abc import ABC, abstractmethod
from typing import Literal

from node.api import {modules}
from node.api.operation import Operation, ReplyT, RequestT


class Calls(ABC):
    """What a daemon can be asked for. What has to be given comes first, the rest by keyword; errors as for `call`."""

    @abstractmethod
    def call(self, operation: Operation[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """Do one operation."""
'''


ONE_PAGE = """

        One page of it; `follow` goes on for ever.
        """


def calls() -> str:
    """The module of the client's methods, formatted."""
    modules = {struct.__module__ for one in OPERATIONS for struct in (one.request, one.reply)}
    modules |= {module.__name__ for module in _tables()}
    names = ", ".join(sorted(module.removeprefix("node.api.") for module in modules))
    source = CALLS_HEAD.format(modules=names) + "".join(map(_method, OPERATIONS))
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(CALLS), "-"]
    return subprocess.run(ruff, input=source, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def _method(operation: Operation[Any, Any]) -> str:
    in_path = path_fields(operation)
    ordered = sorted(fields(operation.request), key=lambda field: (field.name not in in_path, not field.required))
    parameters = ["self", *(_parameter(operation.request, field) for field in ordered)]
    if needed := sum(field.required for field in ordered) - len(ordered):
        parameters.insert(needed, "*")
    given = ", ".join(f"{field.name}={field.name}" for field in ordered)
    return (
        f"\n    def {operation.name}({', '.join(parameters)}) -> {_struct_name(operation.reply)}:\n"
        f'        """{operation.doc}{ONE_PAGE if operation.is_stream else ""}"""\n'
        f"        return self.call({_constant(operation)}, {_struct_name(operation.request)}({given}))\n"
    )


def _parameter(struct: type[msgspec.Struct], field: FieldInfo) -> str:
    kind = _annotation(get_type_hints(struct)[field.name])
    if field.required:
        return f"{field.name}: {kind}"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"{field.name}: {kind} = {default!r}"


def _annotation(kind: Any) -> str:
    if isinstance(kind, type) and not get_args(kind):
        return "None" if kind is type(None) else kind.__name__
    if get_origin(kind) is Literal:
        return f"Literal[{', '.join(map(repr, get_args(kind)))}]"
    if get_origin(kind) is tuple:
        return f"tuple[{_annotation(get_args(kind)[0])}, ...]"
    return " | ".join(map(_annotation, get_args(kind)))


def _struct_name(struct: type[msgspec.Struct]) -> str:
    return f"{struct.__module__.removeprefix('node.api.')}.{struct.__name__}"


def _tables() -> Iterator[ModuleType]:
    """The modules in which operations stand."""
    for path in sorted((ROOT / "node" / "api").glob("*operations.py")):
        yield import_module(f"node.api.{path.stem}")


def _constant(operation: Operation[Any, Any]) -> str:
    [module] = [each for each in _tables() if getattr(each, operation.constant, None) is operation]
    return f"{module.__name__.removeprefix('node.api.')}.{operation.constant}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    CALLS.write_text(calls(), encoding="utf-8")
