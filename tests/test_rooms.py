"""The rooms of the architecture: which package may import what, stated once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("mls", "ordering", "node")

MAY_IMPORT_OF_OURS = {"mls": {"mls"}, "ordering": {"ordering"}, "node": {"node", "mls", "ordering"}}
"""Package → packages of ours it may import."""

ONLY_IN = {
    "cryptography": "mls/crypto/",
    "libp2p": "node/transport_libp2p/",
    "multiaddr": "node/transport_libp2p/",
    "zeroconf": "node/discovery/mdns_radio.py",
    "apsw": "node/store.py",
    "starlette": "node/api/",
    "hypercorn": "node/api/",
    "grpc": "mls/interop/",
    "google": "mls/interop/",
}
"""Third-party package → the one place that may import it."""

IMPURE = {"os", "time", "random", "secrets", "socket", "logging", "trio", "threading", "asyncio", "subprocess"}
"""Modules of I/O, time and chance; `mls` and `ordering` have none of them."""


APPLICATIONS = {"mls": ("mls/interop/",), "ordering": ()}
"""Programs that live beside the pure code they use: a test server for the engine has to listen, and to know the time.

They are held to what `node` is held to, the public names only, and the pure code knows nothing of them.
"""


def imports_of(path: Path) -> Iterator[str]:
    """Every absolute module name a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package}/ has no Python files"
    return files


def applications(package: str) -> list[Path]:
    return [path for path in sources(package) if path.relative_to(ROOT).as_posix().startswith(APPLICATIONS[package])]


def pure(package: str) -> list[Path]:
    return [path for path in sources(package) if path not in applications(package)]


@pytest.mark.parametrize("package", OURS)
def test_a_package_imports_only_the_rooms_it_may(package: str) -> None:
    for path in sources(package):
        for module in imports_of(path):
            root = module.split(".")[0]
            if root in OURS:
                assert root in MAY_IMPORT_OF_OURS[package], f"{path.relative_to(ROOT)} imports {module}"


def test_node_uses_only_the_public_names_of_the_other_rooms() -> None:
    """`from mls import …`, never `from mls.tree import …`: what is inside a room may move."""
    for path in sources("node"):
        for module in imports_of(path):
            assert not module.startswith(("mls.", "ordering.")), f"{path.relative_to(ROOT)} imports {module}"


def test_an_application_uses_only_the_public_names_of_its_room() -> None:
    """As `node` does: what it can do, anybody's program can do."""
    for package, places in APPLICATIONS.items():
        for path in applications(package):
            for module in imports_of(path):
                inside = module.split(".")[0] == package and module != package
                name = path.relative_to(ROOT).as_posix()
                assert not inside or module.replace(".", "/").startswith(places), f"{name} imports {module}"


@pytest.mark.parametrize("package", ["mls", "ordering"])
def test_the_pure_rooms_do_not_know_their_applications(package: str) -> None:
    """So that the engine imports without what only they need."""
    places = tuple(place.rstrip("/") for place in APPLICATIONS[package])
    for path in pure(package):
        for module in imports_of(path):
            assert not module.replace(".", "/").startswith(places), f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("package", OURS)
def test_a_dependency_that_belongs_in_one_place_stays_there(package: str) -> None:
    for path in sources(package):
        name = path.relative_to(ROOT).as_posix()
        for module in imports_of(path):
            place = ONLY_IN.get(module.split(".")[0])
            assert place is None or name.startswith(place), f"{name} imports {module}, which belongs in {place}"


@pytest.mark.parametrize("package", ["mls", "ordering"])
def test_the_pure_rooms_have_no_clock_no_chance_and_no_io(package: str) -> None:
    for path in pure(package):
        for module in imports_of(path):
            assert module.split(".")[0] not in IMPURE, f"{path.relative_to(ROOT)} imports {module}"
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path.relative_to(ROOT)} has async code"
            assert not (isinstance(node, ast.Name) and node.id in {"open", "print", "input"}), (
                f"{path.relative_to(ROOT)} does I/O on line {node.lineno}"
            )
