"""Functions with one of their checks taken out, to show that nothing else would have noticed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def without(function: Callable[..., Any], mark: str) -> Callable[..., Any]:
    """The same function without the one statement that holds `mark`: an `if` that raises, or a call for its effect.

    `ValueError` unless exactly one statement does.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    remover = _Remover(mark)
    tree = ast.fix_missing_locations(remover.visit(tree))
    if remover.count != 1:
        raise ValueError(f"{remover.count} statements of {function.__name__} hold {mark!r}")
    module = inspect.getmodule(function)
    assert module is not None
    names = dict(vars(module))
    exec(compile(tree, f"<{function.__name__} without {mark!r}>", "exec"), names)
    reduced = names[function.__name__]
    assert callable(reduced)
    return reduced  # type: ignore[no-any-return]


class _Remover(ast.NodeTransformer):
    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.count = 0

    def visit_If(self, node: ast.If) -> ast.AST:
        if any(isinstance(each, ast.Raise) for each in node.body) and self.mark in ast.unparse(node):
            self.count += 1
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Call) and self.mark in ast.unparse(node):
            self.count += 1
            return ast.Pass()
        return self.generic_visit(node)
