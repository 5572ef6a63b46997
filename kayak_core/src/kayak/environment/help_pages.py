"""Help pages: the signature, docstring and members of one object, as text."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import attrs

from kayak.environment.signatures import assignments, doc_of, literal_docs, signature_of, summary_of

_LINE_WIDTH = 118


@attrs.frozen
class Member:
    """One public member of a class.

    Attributes:
        owner: the class that defines it.
        name: its name there.
        value: the function, property or descriptor.
        function: what is called, where it can be.
    """

    owner: type
    name: str
    value: object
    function: Callable[..., Any] | None


def members_of(owner: type) -> tuple[Member, ...]:
    """Return a class's public methods and documented properties, inherited ones of Kayak included, in source order."""
    found: dict[str, Member] = {}
    for base in reversed(owner.__mro__):
        if not base.__module__.startswith("kayak"):
            continue
        for name, value in vars(base).items():
            if name.startswith("_"):
                continue
            function = getattr(value, "__func__", value)
            if inspect.isfunction(function):
                found[name] = Member(base, name, value, function)
            elif doc_of(value) and (isinstance(value, property) or hasattr(value, "func")):
                found[name] = Member(base, name, value, None)
    return tuple(found.values())


def object_page(name: str, value: object) -> str:
    """Return the page of a class, function or property under a name."""
    if isinstance(value, type):
        return _class_page(name, value)
    if callable(value):
        return _joined(signature_of(name, value), _indented(doc_of(value)))
    return _joined(name, _indented(doc_of(value)))


def constant_page(name: str, value: object, module: ModuleType, variable: str) -> str:
    """Return the page of a module's constant or type alias: its value as written, and the literal below it."""
    written = assignments(module).get(variable, repr(value))
    return _joined(f"{name} = {written}", _indented(literal_docs(module).get(variable, "")))


def module_page(name: str, module: ModuleType) -> str:
    """Return the page of a module: its docstring, and a line for each name that it exports."""
    exported = [each for each in getattr(module, "__all__", None) or _own_names(module) if hasattr(module, each)]
    rows = ((each, _one_line(module, each)) for each in exported)
    return _joined(f"module {name}", _indented(doc_of(module)), _indented(listing(rows)))


def listing(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and one-line summaries as aligned lines."""
    given = list(rows)
    width = min(max((len(name) for name, _ in given), default=0), 48)
    return "\n".join(
        f"{name:<{width}}  {textwrap.shorten(summary, _LINE_WIDTH - width, placeholder=' …')}".rstrip()
        for name, summary in given
    )


def member_page(member: Member) -> str:
    """Return the page of one method or property of a class."""
    name = f"{member.owner.__name__}.{member.name}"
    head = name if member.function is None else signature_of(name, member.function)
    return _joined(head, _indented(doc_of(member.value)))


def _class_page(name: str, owner: type) -> str:
    members = members_of(owner)
    methods = ((f"{m.name}()", summary_of(m.value)) for m in members if m.function is not None)
    properties = ((m.name, summary_of(m.value)) for m in members if m.function is None)
    bases = ", ".join(base.__name__ for base in owner.__bases__ if base is not object)
    head = f"class {signature_of(name, owner)}" if not issubclass(owner, BaseException) else f"exception {name}"
    return _joined(
        f"{head}  (a {bases})" if bases and "Protocol" not in bases and "Generic" not in bases else head,
        _indented(doc_of(owner)),
        _titled("Methods", listing(methods)),
        _titled("Properties", listing(properties)),
        f"kayak.help('{name}.NAME') shows one of them." if members else "",
    )


def _one_line(module: ModuleType, name: str) -> str:
    documented = literal_docs(module).get(name)
    return documented.partition("\n")[0] if documented else summary_of(getattr(module, name))


def _own_names(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__:
            yield name


def _titled(title: str, text: str) -> str:
    return f"{title}:\n{_indented(text)}" if text else ""


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
