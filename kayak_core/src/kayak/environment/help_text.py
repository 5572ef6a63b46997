"""`kayak.help`: what there is and how it is used, generated from live signatures and docstrings."""

from __future__ import annotations

import difflib
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType

import kayak
import kayak.typing
from kayak import _HOME_OF, _HOMES
from kayak.environment.help_pages import (
    constant_page,
    listing,
    member_page,
    members_of,
    module_page,
    object_page,
)
from kayak.environment.help_topics import OPENERS, TOPICS, kind_page, public_summary
from kayak.environment.signatures import doc_of, module_doc
from kayak.errors import InvalidInputError
from kayak.hookspecs import KayakSpecs
from kayak.plugins import specs_of
from kayak.plugins.registry import FIRST_PARTY
from kayak.specs import PluginSpec

_SORTS = (*OPENERS, "executor")
_PUBLIC_MODULES = ("errors", "testing", "typing")
_BRIEF_AREAS = ("contracts", "errors")
_AREAS = (
    "retrieval",
    "values",
    "searching",
    "evaluation",
    "explanation",
    "environment",
    "plugins",
    "builtin",
    "contracts",
)
_WIDTH = 100


def help(topic: object = None) -> str:
    """Return help as text, generated from the live signatures and docstrings; `print` it.

    Args:
        topic: nothing for an overview; a topic ("search", "session", "stores", "encoders", "backends", "plans",
            "evaluation", "plugins", "typing", "mojo"); a public name ("LateIndex", "search_text",
            "LateTextRetriever.search_text", "TokenMatrixInput"); a kind ("hashing", "qdrant"); or any object.

    Raises:
        InvalidInputError: nothing is known by that name; the message suggests near ones.
    """
    if topic is None:
        return _overview()
    if not isinstance(topic, str):
        return _page_of_object(topic)
    name = topic.strip().removeprefix("kayak.")
    pages = list(dict.fromkeys(_pages_of_name(name)))
    if not pages:
        raise InvalidInputError(_unknown(topic, name))
    return "\n\n".join(pages)


def _overview() -> str:
    parts = [doc_of(kayak), f"Version {kayak.__version__}. kayak.help(NAME) says more about any name below."]
    parts.append("Topics:\n" + listing((repr(name), _intro(topic)) for name, topic in TOPICS.items()))
    for area, names in _areas().items():
        title = doc_of(importlib.import_module(f"kayak.{area}")).partition("\n")[0]
        if area in _BRIEF_AREAS:
            text = textwrap.fill(", ".join(names), _WIDTH, initial_indent="    ", subsequent_indent="    ")
        else:
            text = textwrap.indent(listing((name, public_summary(name)) for name in names), "    ")
        parts.append(f"{title}\n{text}")
    modules = (f"kayak.{name}" for name in _PUBLIC_MODULES)
    parts.append("Public modules:\n" + listing((name, module_doc(name).partition("\n")[0]) for name in modules))
    return "\n\n".join(parts)


def _areas() -> dict[str, list[str]]:
    """The public names by the part of the package that they live in, the parts met first in front."""
    found: dict[str, list[str]] = {area: [] for area in _AREAS}
    for home, names in _HOMES.items():
        found.setdefault(home.split(".")[1], []).extend(names)
    return {area: names for area, names in found.items() if names}


def _intro(topic: Callable[[], Iterator[str]]) -> str:
    return doc_of(topic).partition("\n")[0]


def _pages_of_name(name: str) -> Iterator[str]:
    if name in TOPICS:
        yield "\n\n".join([doc_of(TOPICS[name]), *TOPICS[name]()])
    if name in kayak.__all__:
        yield _public_page(name)
    if name in _PUBLIC_MODULES and name not in TOPICS:
        yield _public_module_page(f"kayak.{name}")
    owner, _, member = name.rpartition(".")
    if owner in ("", "typing") and member in kayak.typing.__all__:
        yield _typing_page(member)
    for cls in _classes():
        if owner in ("", cls.__name__):
            yield from (member_page(each) for each in members_of(cls) if each.name == member)
    for sort in _SORTS:
        yield from (kind_page(sort, provided) for provided in specs_of(sort) if name in provided.spec.names)
    if name in FIRST_PARTY and not any(name in p.spec.names for sort in _SORTS for p in specs_of(sort)):
        yield f"Kind {name!r} is not installed; `pip install {FIRST_PARTY[name]}` provides it."


def _public_page(name: str) -> str:
    value = getattr(kayak, name)
    if inspect.isfunction(value) or isinstance(value, type):
        return object_page(name, value)
    home = importlib.import_module(_HOME_OF.get(name, "kayak"))
    return constant_page(name, value, home, name)


def _public_module_page(name: str) -> str:
    try:
        return module_page(name, importlib.import_module(name))
    except ImportError as error:  # kayak.testing needs the packages of its extra
        return f"module {name}\n\n{module_doc(name)}\n\nIt cannot be imported here: {error}"


def _typing_page(name: str) -> str:
    value = getattr(kayak.typing, name)
    if isinstance(value, type) and name not in kayak.__all__:
        return object_page(f"kayak.typing.{name}", value)
    return constant_page(f"kayak.typing.{name}", value, kayak.typing, name)


def _classes() -> tuple[type, ...]:
    public = (getattr(kayak, name) for name in kayak.__all__)
    return (*(value for value in public if isinstance(value, type)), KayakSpecs)


def _page_of_object(value: object) -> str:
    public = [name for name in kayak.__all__ if getattr(kayak, name) is value]
    aliases = [name for name in kayak.typing.__all__ if _same_alias(getattr(kayak.typing, name), value)]
    if public or aliases:
        return "\n\n".join([*map(_public_page, public), *map(_typing_page, aliases if not public else ())])
    if isinstance(value, PluginSpec):
        found = (kind_page(sort, each) for sort in _SORTS for each in specs_of(sort) if each.spec is value)
        return next(found, object_page(type(value).__name__, type(value)))
    if isinstance(value, ModuleType):
        return module_page(value.__name__, value)
    named = value.fget if isinstance(value, property) else value
    if callable(named) and hasattr(named, "__qualname__"):
        return object_page(named.__qualname__, value)
    return object_page(type(value).__name__, type(value))


def _same_alias(alias: object, value: object) -> bool:
    return type(alias) is type(value) and alias == value  # == alone would ask arrays, which have no single answer


def _unknown(topic: str, name: str) -> str:
    known = {
        *TOPICS,
        *kayak.__all__,
        *_PUBLIC_MODULES,
        *kayak.typing.__all__,
        *FIRST_PARTY,
        *(alias for sort in _SORTS for provided in specs_of(sort) for alias in provided.spec.names),
    }
    for cls in _classes():
        known |= {text for each in members_of(cls) for text in (each.name, f"{cls.__name__}.{each.name}")}
    by_folded = {each.casefold(): each for each in sorted(known)}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(by_folded[each]) for each in near)}? " if near else ""
    return f"no help for {topic!r}: {hint}kayak.help() lists every topic and name"
