"""The docstrings of the Python standard library: a real corpus that every machine has.

Sources are parsed, never imported, so nothing runs and modules of other platforms are there as well.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import attrs

from kayak.errors import UnsupportedOperationError

_SKIPPED_FOLDERS = {"test", "tests", "__pycache__", "site-packages"}
_SKIPPED_PACKAGES = {
    "distutils",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "turtledemo",
}  # applications, and what 3.12 dropped
_DOCUMENTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@attrs.frozen
class DocEntry:
    """One docstring.

    Attributes:
        name: qualified name, for example "json.dumps".
        module: the module that it stands in.
        kind: "module", "class", "method" or "function".
        doc: the cleaned docstring.
    """

    name: str
    module: str
    kind: str
    doc: str

    @property
    def text(self) -> str:
        """What is indexed: the name, then the docstring."""
        return f"{self.name}\n\n{self.doc}"


def stdlib_docs(folder: Path | None = None) -> Iterator[DocEntry]:
    """Yield the docstrings of all public modules, classes, functions and methods, each name once, sorted by module.

    Args:
        folder: where the library's sources lie; those of the running interpreter unless given.

    Raises:
        UnsupportedOperationError: there are no sources, as in some frozen or zipped installations.
    """
    root = folder or Path(sysconfig.get_paths()["stdlib"])
    seen: set[str] = set()
    for module, path in sorted(_modules(root)):
        for entry in _entries(module, path):
            if entry.name not in seen:
                seen.add(entry.name)
                yield entry
    if not seen:
        raise UnsupportedOperationError(
            f"no sources of the standard library with docstrings are in {root}; this Python was installed without "
            "them. Index texts of your own with `kayak index FOLDER`"
        )


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        parts = here.relative_to(root).parts
        folders[:] = [name for name in folders if _is_public((*parts, name)) and name not in _SKIPPED_FOLDERS]
        for file in files:
            name, suffix = os.path.splitext(file)  # noqa: PTH122 - a name, no path
            module = parts if name == "__init__" else (*parts, name)
            if suffix == ".py" and module and _is_public(module):
                yield ".".join(module), here / file


def _is_public(module: tuple[str, ...]) -> bool:
    known = module[0] in sys.stdlib_module_names and module[0] not in _SKIPPED_PACKAGES
    return known and not any(part.startswith("_") for part in module)


def _entries(module: str, path: Path) -> Iterator[DocEntry]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old sources hold invalid escapes, which the parser warns about
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # a few files are templates or meant for other versions
            return
    doc = ast.get_docstring(tree)
    if _has_word(doc):
        yield DocEntry(module, module, "module", doc)
    yield from _members(module, module, tree.body, inside_class=False)


def _has_word(doc: str | None) -> TypeGuard[str]:
    return doc is not None and any(character.isalnum() for character in doc)


def _members(module: str, owner: str, body: list[ast.stmt], *, inside_class: bool) -> Iterator[DocEntry]:
    for node in body:
        if not isinstance(node, _DOCUMENTED) or node.name.startswith("_"):
            continue
        name = f"{owner}.{node.name}"
        is_class = isinstance(node, ast.ClassDef)
        doc = ast.get_docstring(node)
        if _has_word(doc):
            yield DocEntry(name, module, "class" if is_class else "method" if inside_class else "function", doc)
        if is_class:
            yield from _members(module, name, node.body, inside_class=True)
