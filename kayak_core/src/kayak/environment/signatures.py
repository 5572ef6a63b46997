"""Signatures and docstrings as text, read from the live objects."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_LINE_WIDTH = 100
_EMPTY = inspect.Parameter.empty
_BARE_OBJECT_DOC = object.__init__.__doc__


def signature_of(name: str, callable_: Callable[..., Any], *, first: str | None = None) -> str:
    """Return `name(parameters) -> result`, one parameter a line where one line would be too long.

    With `first`, an argument that stands before the parameters, the text is a call and gives no result. A callable
    that hides its signature (some are written in C) and a protocol, which has none, give the name alone.
    """
    if getattr(callable_, "_is_protocol", False):
        return name
    try:
        signature = inspect.signature(callable_)
    except (TypeError, ValueError):
        return name
    parameters = _parameters(signature)
    if first is not None:
        parameters = [first, *(text for text in parameters if text not in ("*", "/"))]
    result = ""
    if first is None and not isinstance(callable_, type) and signature.return_annotation is not _EMPTY:
        result = f" -> {_annotation(signature.return_annotation)}"
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= _LINE_WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {parameter}," for parameter in parameters), f"){result}"])


def doc_of(value: object) -> str:
    """Return the cleaned docstring of an object, or "" where it has none of its own."""
    doc = inspect.getdoc(value) or ""
    return "" if doc == _BARE_OBJECT_DOC else doc


def summary_of(value: object) -> str:
    """Return the first line of an object's docstring."""
    return doc_of(value).partition("\n")[0]


def module_doc(name: str) -> str:
    """Return a module's docstring, read from its source, without importing the module (its parents are)."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    return ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or ""


@cache
def literal_docs(module: ModuleType) -> dict[str, str]:
    """Return the string literals that stand below assignments at a module's top level, by the assigned name.

    Empty for a module whose source is not there.
    """
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return {}
    docs = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        name = _assigned_name(statement)
        if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = following.value.value
            if isinstance(text, str):
                docs[name] = inspect.cleandoc(text)
    return docs


@cache
def assignments(module: ModuleType) -> dict[str, str]:
    """Return the source text of the values assigned to names at a module's top level."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return {}
    return {
        name: ast.unparse(value)
        for statement in tree.body
        if (name := _assigned_name(statement)) and (value := getattr(statement, "value", None)) is not None
    }


def _assigned_name(statement: ast.stmt) -> str | None:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    return target.id if isinstance(target, ast.Name) else None


def _parameters(signature: inspect.Signature) -> list[str]:
    texts = []
    seen_star = False
    previous_positional_only = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if previous_positional_only and parameter.kind is not parameter.POSITIONAL_ONLY:
            texts.append("/")
        previous_positional_only = parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind is parameter.VAR_POSITIONAL:
            seen_star = True
        elif parameter.kind is parameter.KEYWORD_ONLY and not seen_star:
            texts.append("*")
            seen_star = True
        texts.append(_parameter(parameter))
    return [*texts, "/"] if previous_positional_only else texts


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "*" * ((parameter.kind is parameter.VAR_POSITIONAL) + 2 * (parameter.kind is parameter.VAR_KEYWORD))
    annotated = parameter.annotation is not _EMPTY
    text = f"{stars}{parameter.name}{f': {_annotation(parameter.annotation)}' if annotated else ''}"
    if parameter.default is _EMPTY:
        return text
    default = repr(parameter.default)
    if " object at 0x" in default or default.startswith(("<", "NOTHING")):
        default = "..."
    return f"{text} = {default}" if annotated else f"{text}={default}"


def _annotation(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
