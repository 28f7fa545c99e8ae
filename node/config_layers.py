"""Layered settings: defaults < file < environment < flags, and every mistake at once with its origin.

Knows nothing of which settings there are: it reads them off the section structs it is given. A value
that came as text (environment, flag) is parsed by the setting's type; a value from the file has to have that
type already.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

PREFIX: Final = "CONCLAVE_"

Settings = Mapping[str, FieldInfo]
"""Every setting by its key, ``section.name``."""

Check = Callable[[Any], str | None]
"""Says what is wrong with a value that already has its type, or None."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration, and where it was said."""

    origin: str
    detail: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Said:
    """A value somebody set for a key, and where."""

    key: str
    value: Any
    origin: str


def settings_of(sections: Mapping[str, type[msgspec.Struct]]) -> dict[str, FieldInfo]:
    return {f"{section}.{field.name}": field for section, struct in sections.items() for field in fields(struct)}


def variable_name(key: str) -> str:
    """The environment variable of a key: ``node.data_dir`` → ``CONCLAVE_NODE_DATA_DIR``."""
    return PREFIX + key.replace(".", "_").upper()


def flag_name(key: str) -> str:
    """The command-line flag of a key: ``node.data_dir`` → ``--data-dir``, ``api.socket`` → ``--api-socket``."""
    return "--" + key.removeprefix("node.").replace(".", "-").replace("_", "-")


def said_in_file(settings: Settings, document: Mapping[str, Any], file: str) -> Iterator[Said | Problem]:
    sections = sorted({key.split(".")[0] for key in settings})
    for section, table in document.items():
        if section not in sections:
            yield Problem(f"{file}: {section}", "no such section" + did_you_mean(section, sections))
        elif not isinstance(table, dict):
            yield Problem(f"{file}: {section}", f"this is a section; write [{section}] on a line of its own")
        else:
            for name, value in table.items():
                yield _known(settings, Said(f"{section}.{name}", value, f"{file}: {section}.{name}"))


def said_in_environment(
    settings: Settings, environ: Mapping[str, str], other: Iterable[str]
) -> Iterator[Said | Problem]:
    """The settings among the environment's variables; ``other`` are known names that are no settings."""
    keys = {variable_name(key): key for key in settings}
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name not in other):
        if variable in keys:
            yield _parsed(settings, Said(keys[variable], environ[variable], variable))
        else:
            yield Problem(variable, "no such setting" + did_you_mean(variable, keys))


def said_in_flags(settings: Settings, flags: Mapping[str, object]) -> Iterator[Said | Problem]:
    """``flags`` maps keys to what the command line gave: text, a typed value, or None for not given."""
    for key, value in flags.items():
        if value is not None:
            said = _known(settings, Said(key, value, flag_name(key)))
            yield _parsed(settings, said) if isinstance(said, Said) and isinstance(value, str) else said


def convert(settings: Settings, said: Said, check: Check | None) -> Said | Problem:
    """Give the value its setting's type, or say what is wrong with it."""
    expected = settings[said.key].type
    try:
        value = msgspec.convert(said.value, expected, strict=True)
    except msgspec.ValidationError as error:
        return Problem(said.origin, _explained(str(error), said.value, expected))
    complaint = check(value) if check else None
    return Problem(said.origin, complaint) if complaint else Said(said.key, value, said.origin)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _known(settings: Settings, said: Said) -> Said | Problem:
    return said if said.key in settings else Problem(said.origin, "no such setting" + did_you_mean(said.key, settings))


_SWITCH: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def _parsed(settings: Settings, said: Said) -> Said | Problem:
    """Turn text into what the file would have held, by the setting's type."""
    expected, text = _bare(settings[said.key].type), said.value.strip()
    value: Any = text
    if get_origin(expected) is tuple:
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif expected is bool:
        if text.lower() not in _SWITCH:
            return Problem(said.origin, f"expected true or false, got {text!r}")
        value = _SWITCH[text.lower()]
    elif expected is int:
        try:
            value = int(text)
        except ValueError:
            return Problem(said.origin, f"expected a whole number, got {text!r}")
    return Said(said.key, value, said.origin)


def _bare(expected: Any) -> Any:
    """The type without its ``Annotated`` bounds."""
    return get_args(expected)[0] if hasattr(expected, "__metadata__") else expected


def _explained(message: str, value: Any, expected: Any) -> str:
    if choices := [
        choice for choice in get_args(expected) if get_origin(_bare(expected)) is not tuple and isinstance(choice, str)
    ]:
        return f"{value!r} is not one of {', '.join(choices)}" + did_you_mean(str(value), choices)
    detail = message.replace("`", "").replace("Expected", "expected", 1).split(" - at ")[0]
    return detail if "got" in detail else f"{detail}, got {value!r}"
