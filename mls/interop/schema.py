"""The service definition as message classes, made when this module is imported; no generated code, no compiler.

`mls_client.proto` uses little of the language: messages of scalar, message and repeated fields, and one service of
unary methods, a statement to a line. What is read here is that much; anything else in the file is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto

_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}

_LINE = re.compile(
    r"""
    syntax\ =\ "proto3";
    | package\ (?P<package>\w+);
    | service\ (?P<service>\w+)\ \{
    | rpc\ (?P<rpc>\w+)\((?P<request>\w+)\)\ returns\ \((?P<response>\w+)\)\ \{\}
    | message\ (?P<message>\w+)\ \{\}?
    | (?P<repeated>repeated\ )?(?P<type>\w+)\ (?P<field>\w+)\ =\ (?P<number>\d+);
    | \}
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the service: its name, and the classes of what it takes and gives."""

    name: str
    path: str  # as in a request's :path
    request: type[Message]
    response: type[Message]

    @property
    def python_name(self) -> str:
        """ReInitCommit → reinit_commit, StorePSK → store_psk."""
        words = re.sub(r"ReInit", "Reinit", self.name)
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", words).lower()


def read_definition(text: str) -> descriptor_pb2.FileDescriptorProto:
    """The definition in protobuf's own description of it. Raises ValueError where the text has more than we read."""
    file = descriptor_pb2.FileDescriptorProto(name="mls/interop/mls_client.proto", syntax="proto3")
    for number, line in enumerate(text.splitlines(), 1):
        statement = line.partition("//")[0].strip()
        if not statement:
            continue
        found = _LINE.fullmatch(statement)
        if found is None:
            raise ValueError(f"line {number} of the service definition is none that this reader knows")
        if found["package"]:
            file.package = found["package"]
        elif found["service"]:
            file.service.add(name=found["service"])
        elif found["rpc"]:
            scope = f".{file.package}."
            file.service[-1].method.add(
                name=found["rpc"], input_type=scope + found["request"], output_type=scope + found["response"]
            )
        elif found["message"]:
            file.message_type.add(name=found["message"])
        elif found["field"]:
            field = file.message_type[-1].field.add(name=found["field"], number=int(found["number"]))
            field.label = _Field.LABEL_REPEATED if found["repeated"] else _Field.LABEL_OPTIONAL
            if found["type"] in _SCALARS:
                field.type = _SCALARS[found["type"]]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{file.package}.{found['type']}"
    return file


def _built() -> tuple[str, Mapping[str, type[Message]], tuple[Method, ...]]:
    file = read_definition(files("mls.interop").joinpath("mls_client.proto").read_text())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = {
        each.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{each.name}"))
        for each in file.message_type
    }
    (service,) = file.service
    name = f"{file.package}.{service.name}"
    methods = tuple(
        Method(
            each.name,
            f"/{name}/{each.name}",
            classes[each.input_type.rpartition(".")[2]],
            classes[each.output_type.rpartition(".")[2]],
        )
        for each in service.method
    )
    return name, MappingProxyType(classes), methods


SERVICE, MESSAGES, METHODS = _built()
"""The service's full name, every message class by name, every method in the definition's order."""


def message(name: str, **fields: Any) -> Message:
    """A message by its name."""
    return MESSAGES[name](**fields)
