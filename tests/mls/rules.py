"""The rules of RFC 9420, where the engine checks each, and the tests that show it: docs/rfc9420.md is made from these.

    python -m tests.mls.rules            writes the page
    python -m tests.mls.rules --check    says what is missing, and fails if anything is

`rules.toml` lists the rules. A test shows those named in its own name (`test_v034_…`, `test_v055_v057_…`) and those its
docstring begins with ("V081, V096: …"). The engine cites a rule where it checks it.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "rfc9420.md"
ID = re.compile(r"\bV\d{3}\b")
IN_NAME = re.compile(r"_(v\d{3})(?=_)")
AT_START = re.compile(r"(V\d{3}(?:, V\d{3})*)[.,:]")

HEAD = """# RFC 9420, rule by rule

<!-- Made by `python -m tests.mls.rules` from tests/mls/rules.toml, the tests and the code. Do not edit. -->

Every rule that a member of a group has to check or to keep, one line each: where RFC 9420 says it, with which word,
what it asks in short, which files of `mls/` cite it, and which tests show it. A refusal names the rule it is for
(`InvalidError.rule`, or the text of a `MalformedError` or `MisuseError`); where another rule's check is the one that
finds it, *as* says which. A *duty* is no property of a message but something the engine itself does, or lets pass.
{shown} of {musts} MUST rules have their tests{pending}
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the list, in our words."""

    id: str
    section: str
    level: str
    text: str
    refused_as: tuple[str, ...]
    is_duty: bool


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test, the rules it says it shows, and the ids its body speaks of."""

    file: str  # below tests/mls
    name: str
    shows: tuple[str, ...]
    speaks_of: frozenset[str]


@dataclass(frozen=True, slots=True)
class Register:
    """Everything known about every rule."""

    parts: dict[str, tuple[Rule, ...]]
    pending: dict[str, str]
    cited: dict[str, tuple[str, ...]]  # id → files of mls/
    tests: dict[str, tuple[RuleTest, ...]] = field(repr=False)

    @property
    def rules(self) -> dict[str, Rule]:
        return {rule.id: rule for rules in self.parts.values() for rule in rules}

    @property
    def musts(self) -> list[Rule]:
        return [rule for rule in self.rules.values() if rule.level == "MUST"]

    def problems(self) -> Iterator[str]:
        """What is wrong, a sentence each; nothing when the page may say that all is shown."""
        for id in sorted({*self.cited, *self.tests, *self.pending} - self.rules.keys()):
            yield f"{id} is no rule of the list, but code, a test or the pending list names it"
        for rule in self.musts:
            tests = self.tests.get(rule.id, ())
            if rule.id in self.pending:
                if tests:
                    yield f"{rule.id} has a test: take it off the pending list"
            elif not tests:
                yield f"{rule.id} has no test: {rule.text}"
            if rule.id not in self.pending and rule.id not in self.cited:
                yield f"{rule.id} is cited nowhere in mls/: {rule.text}"
        for rule in self.rules.values():
            tests = self.tests.get(rule.id, ())
            named = {rule.id, *rule.refused_as}
            if tests and not rule.is_duty and not any(named & test.speaks_of for test in tests):
                yield f"no test of {rule.id} expects a refusal that names {' or '.join(sorted(named))}"


def read() -> Register:
    listed = tomllib.loads((Path(__file__).parent / "rules.toml").read_text())
    pending = listed.pop("pending")
    parts = {
        title: tuple(
            Rule(id, row["section"], row["level"], row["text"], tuple(row.get("as", ())), row.get("duty", False))
            for id, row in rows.items()
        )
        for title, rows in listed.items()
    }
    return Register(parts, pending, _cited(), _shown())


def page(register: Register) -> str:
    """The whole of docs/rfc9420.md."""
    musts, pending = register.musts, register.pending
    waiting = "." if not pending else f"; {len(pending)} {'is' if len(pending) == 1 else 'are'} pending (at the end)."
    out = [HEAD.format(shown=sum(rule.id in register.tests for rule in musts), musts=len(musts), pending=waiting)]
    for title, rules in register.parts.items():
        out += [f"## {title}\n", "| rule | section | level | in short | checked in `mls/` | tests |", "|" + "---|" * 6]
        out += [_row(register, rule) for rule in rules]
        out.append("")
    if pending:
        out += ["## Pending\n", *(f"- {id}: {reason}." for id, reason in sorted(pending.items())), ""]
    return "\n".join(out)


def _row(register: Register, rule: Rule) -> str:
    text = rule.text + (" (duty)" if rule.is_duty else "")
    if rule.refused_as:
        text += f" (as {', '.join(rule.refused_as)})"
    files = ", ".join(f"`{each}`" for each in register.cited.get(rule.id, ()))
    by_file: dict[str, list[str]] = {}
    for test in register.tests.get(rule.id, ()):
        by_file.setdefault(test.file, []).append(f"`{test.name.removeprefix('test_')}`")
    tests = "<br>".join(f"[{file}](../tests/mls/{file}): {', '.join(names)}" for file, names in by_file.items())
    return f"| {rule.id} | {rule.section} | {rule.level} | {text} | {files or '–'} | {tests or '–'} |"


def _cited() -> dict[str, tuple[str, ...]]:
    cited: dict[str, set[str]] = {}
    for path in sorted((ROOT / "mls").rglob("*.py")):
        for id in ID.findall(path.read_text()):
            cited.setdefault(id, set()).add(path.relative_to(ROOT / "mls").as_posix())
    return {id: tuple(sorted(files)) for id, files in cited.items()}


def _shown() -> dict[str, tuple[RuleTest, ...]]:
    shown: dict[str, list[RuleTest]] = {}
    here = Path(__file__).parent
    for path in sorted(here.rglob("test_*.py")):
        for test in read_tests(path.read_text(), path.relative_to(here).as_posix()):
            for id in test.shows:
                shown.setdefault(id, []).append(test)
    return {id: tuple(tests) for id, tests in shown.items()}


def read_tests(source: str, file: str) -> Iterator[RuleTest]:
    """The tests in a file that show a rule."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        docstring = ast.get_docstring(node) or ""
        in_name = [id.upper() for id in IN_NAME.findall(node.name + "_")]
        at_start = AT_START.match(docstring)
        shows = tuple(dict.fromkeys([*in_name, *(ID.findall(at_start[1]) if at_start else ())]))
        if shows:
            yield RuleTest(file, node.name, shows, _ids_in_strings(node))


def _ids_in_strings(test: ast.FunctionDef) -> frozenset[str]:
    """The ids in the strings of a test and its decorators, its docstring apart."""
    body = test.body[1:] if ast.get_docstring(test) else test.body
    nodes = (each for node in (*test.decorator_list, *body) for each in ast.walk(node))
    strings = (each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str))
    return frozenset(id for text in strings for id in ID.findall(text))


def main(arguments: list[str]) -> int:
    register = read()
    problems = list(register.problems())
    if "--check" in arguments:
        if not PAGE.exists() or PAGE.read_text() != page(register):
            problems.append("docs/rfc9420.md is stale: python -m tests.mls.rules")
    else:
        PAGE.write_text(page(register))
    print("\n".join(problems) or "every MUST rule is shown or pending")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
