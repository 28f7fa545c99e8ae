"""Every bound a peer could push against, read out of the code: `python -m tests.bounds` writes docs/bounds.md.

A bound is a constant of `ordering/` or `node/` whose name ends in MAX; what it means is the comment beside it or the
string below it. A test compares the page with the code.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bounds.md"
OWN = frozenset(("chain_file", "changing", "cli", "client", "feed_views", "intent_views", "names", "secret_files"))
"""Files of the node with bounds on what its operator or it itself does, not a peer."""
OWN_FOLDERS = frozenset(("api", "cli", "testnet"))
"""Likewise."""

HEAD = """# Bounds

Every size, count and rate that a peer can drive has a name. This page is read out of the code by
`python -m tests.bounds`; `tests/node/test_bounds.py` fails when it is stale. How they are tested is said in
[protocol.md](protocol.md#invariants), invariant 5. Sizes are bytes, times seconds.
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """One constant."""

    name: str
    value: str
    meaning: str


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for room in ("ordering", "node"):
        for path in sorted((ROOT / room).rglob("*.py"), key=lambda path: (len(path.parts), path)):
            is_own = path.stem in OWN or bool(OWN_FOLDERS.intersection(path.parts[len(ROOT.parts) :]))
            bounds = [] if is_own else list(bounds_of(path.read_text(encoding="utf-8")))
            if bounds:
                parts.append(f"\n## {path.relative_to(ROOT).as_posix()}\n\n| bound | is | of what |\n|---|---|---|\n")
                parts += [f"| `{one.name}` | {one.value} | {one.meaning} |\n" for one in bounds]
    return "".join(parts)


def bounds_of(source: str) -> Iterator[Bound]:
    """The bounds of one file, in order."""
    lines, body = source.splitlines(), ast.parse(source).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(name)], value=value) | ast.AnnAssign(target=ast.Name(name), value=value):
                if value is None or name.startswith("_") or not name.endswith("_MAX"):
                    continue
            case _:
                continue
        meaning = lines[statement.end_lineno - 1 if statement.end_lineno else 0].partition("  # ")[2]
        match following:
            case ast.Expr(value=ast.Constant(str(text))):
                meaning = " ".join(text.split())
            case _:
                pass
        yield Bound(name, ast.unparse(value).replace("|", "\\|"), meaning.replace("|", "\\|"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
