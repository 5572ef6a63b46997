"""Imports point one way, product code holds no asserts for users, and the public namespace is honest."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import kayak
import pytest

PACKAGE = Path(kayak.__file__).parent
LAYERS = {
    "errors": 0,
    "typing": 0,
    "values": 1,
    "contracts": 2,
    "specs": 3,
    "hookspecs": 4,
    "builtin": 5,
    "plugins": 5,
    "searching": 6,
    "plotting": 1,
    "retrieval": 7,
    "evaluation": 8,
    "explanation": 8,
    "environment": 8,
    "testing": 8,
    "cli": 9,
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (imported module, whether only type checkers see it)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node in hidden
        elif isinstance(node, ast.Import):
            yield from ((name.name, node in hidden) for name in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if layer in ("__init__", "__main__", "_pytest_plugin"):
        return
    for module, typing_only in imports_of(path):
        parts = module.split(".")
        if parts[0] != "kayak" or len(parts) == 1 or parts[1] == layer or typing_only:
            continue
        assert LAYERS[parts[1]] < LAYERS[layer], f"{path.name} imports {module}, which stands above it"


def test_no_layer_imports_builtin_implementations_by_name() -> None:
    for path in SOURCES:
        layer = path.relative_to(PACKAGE).parts[0]
        if layer in ("builtin", "testing", "__init__.py", "cli", "explanation"):
            continue
        assert not [name for name, _ in imports_of(path) if name.startswith("kayak.builtin")], path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_product_code_does_not_assert_or_evaluate(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.relative_to(PACKAGE).parts[0] != "testing":  # conformance suites are made of assertions
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec"}
    assert not {name for name, _ in imports_of(path)} & {"pickle", "marshal", "shelve"}


def test_every_public_name_is_there_and_comes_from_its_home() -> None:
    for name in kayak.__all__:
        value = getattr(kayak, name)
        assert value is not None
        home = getattr(value, "__module__", None)
        if isinstance(home, str) and home.startswith("kayak"):
            assert getattr(importlib.import_module(home), name, value) is value


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen: dict[str, str] = {}
    for block in tree.body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for node in block.body:
                assert isinstance(node, ast.ImportFrom)
                assert node.module is not None
                for alias in node.names:
                    assert alias.asname == alias.name, "re-exports are explicit: `import x as x`"
                    seen[alias.name] = node.module
    assert seen == kayak._HOME_OF


def test_dir_and_unknown_names() -> None:
    assert set(kayak.__all__) <= set(dir(kayak))
    assert kayak.errors.KayakError is kayak.KayakError
    assert "TokenMatrixInput" in dir(kayak.typing)
    with pytest.raises(AttributeError, match="no attribute 'serch'; did you mean 'search'"):
        kayak.serch  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqqqq'$"):
        kayak.qqqqqqq  # type: ignore[attr-defined]  # noqa: B018


def test_modules_are_small() -> None:
    sizes = {path.relative_to(PACKAGE): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    large = {path: size for path, size in sizes.items() if size > 300}
    assert len(large) <= 0.1 * len(sizes), f"most modules stay under 300 lines; these do not: {large}"
