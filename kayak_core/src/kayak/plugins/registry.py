"""`KindRegistry`: the kinds of one sort of thing, from plugins and from `register_*`."""

from __future__ import annotations

import difflib
import inspect
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from kayak.errors import (
    DuplicateKindError,
    InvalidTypeError,
    KayakError,
    MissingDependencyError,
    PluginError,
    UnknownKindError,
)
from kayak.plugins.manager import PluginManager, Provided, plugin_manager
from kayak.specs import PluginSpec

S = TypeVar("S", bound=PluginSpec)

FIRST_PARTY = {
    "lancedb": "kayak-lancedb",
    "lance": "kayak-lancedb",
    "pgvector": "kayak-pgvector",
    "postgres": "kayak-pgvector",
    "postgresql": "kayak-pgvector",
    "qdrant": "kayak-qdrant",
    "weaviate": "kayak-weaviate",
    "chromadb": "kayak-chromadb",
    "chroma": "kayak-chromadb",
    "colbert": "kayak-colbert",
    "mojo_exact_cpu": "kayak-mojo",
    "centroid_interaction": "kayak-centroids",
    "residual_maxsim": "kayak-centroids",
}
"""Which distribution of ours provides a kind that is not installed."""

_BY_CODE = "registered by code"


class KindRegistry(Generic[S]):
    """Names to specs, for one sort of thing.

    Args:
        what: the sort, for messages: "store".
        opener: the public function that opens one, for messages: "open_store".
        collect: asks the plugin manager for the specs.
        make: builds a spec from a name and a factory, for `register`.
    """

    def __init__(
        self,
        what: str,
        opener: str,
        collect: Callable[[PluginManager], tuple[Provided, ...]],
        make: Callable[[str, Callable[..., Any]], S],
    ) -> None:
        self._what = what
        self._opener = opener
        self._collect = collect
        self._make = make
        self._lock = threading.RLock()
        self._from_plugins: tuple[Provided, ...] | None = None
        self._by_code: dict[str, Provided] = {}

    def register(self, kind: str, factory: Callable[..., Any], *, replace: bool = False) -> None:
        """Register a factory under a kind name for this process.

        Raises:
            InvalidTypeError: the factory is not callable.
            InvalidInputError: the name is malformed.
            DuplicateKindError: the name is taken and `replace` is False.
        """
        spec = self._make(kind, factory)
        with self._lock:
            taken = [*self._providers(kind)]
            if taken and not replace:
                raise DuplicateKindError(
                    f"{self._what} kind {kind!r} is already provided by {taken[0].source}; choose another name, or "
                    "pass replace=True to override it in this process"
                )
            self._by_code[kind] = Provided(spec, _BY_CODE, _BY_CODE)

    def kinds(self) -> tuple[str, ...]:
        """Return the kind names that can be opened, sorted, without aliases."""
        with self._lock:
            names = {provided.spec.name for provided in self._discovered()} | set(self._by_code)
        return tuple(sorted(names))

    def specs(self) -> tuple[Provided, ...]:
        """Return every spec with its provider, sorted by kind."""
        with self._lock:
            plugins = [p for p in self._discovered() if p.spec.name not in self._by_code]
            return tuple(sorted([*plugins, *self._by_code.values()], key=lambda provided: provided.spec.name))

    def conflicts(self) -> tuple[str, ...]:
        """Describe the names that several plugins claim."""
        with self._lock:
            names = sorted({name for provided in self._discovered() for name in provided.spec.names})
            return tuple(
                self._conflict(name, providers) for name in names if len(providers := self._providers(name)) > 1
            )

    def find(self, kind: str) -> S:
        """Return the spec of a kind or alias.

        Raises:
            InvalidTypeError: the name is no string.
            UnknownKindError: nothing provides it; the message lists what exists and how to get what does not.
            DuplicateKindError: several plugins claim it.
            PluginError: the plugin that provides it is broken.
        """
        if not isinstance(kind, str):
            raise InvalidTypeError(
                f"a {self._what} kind is a string such as {self.kinds()[0]!r}, got {type(kind).__name__}"
            )
        with self._lock:
            providers = self._providers(kind)
            if not providers:
                raise self._unknown(kind)
            # A broken plugin that claims another one's name must not take it down.
            working = [provided for provided in providers if not plugin_manager().error_of(provided)] or providers[:1]
            if len(working) > 1:
                raise DuplicateKindError(self._conflict(kind, working))
            (provided,) = working
        if error := plugin_manager().error_of(provided):
            raise PluginError(f"{self._what} kind {kind!r} comes from {provided.source}, which is broken: {error}")
        return provided.spec  # type: ignore[return-value]  # the manager checked each spec's class

    def open(self, kind: str, kwargs: dict[str, Any]) -> Any:
        """Call the factory of a kind with keyword arguments.

        Raises:
            UnknownKindError, DuplicateKindError, PluginError: see `find`.
            InvalidTypeError: the factory does not take these arguments.
            MissingDependencyError: a package that the factory imports is not installed.
        """
        spec = self.find(kind)
        try:
            signature = inspect.signature(spec.factory)
        except ValueError:  # some callables written in C have none
            signature = None
        if signature is not None:
            try:
                signature.bind(**kwargs)
            except TypeError as error:
                raise InvalidTypeError(f"{self._opener}({kind!r}): {error}; it takes {signature}") from error
        try:
            return spec.factory(**kwargs)
        except KayakError:
            raise
        except ImportError as error:
            needs = ", ".join(spec.requirements) or (error.name or "a package that is not installed")
            packages = " ".join(map(repr, spec.requirements)) or error.name
            remedy = f". Install it with `pip install {packages}`" if packages else ""
            raise MissingDependencyError(f"{self._opener}({kind!r}) needs {needs}: {error}{remedy}") from error

    def _discovered(self) -> tuple[Provided, ...]:
        if self._from_plugins is None:
            self._from_plugins = self._collect(plugin_manager())
        return self._from_plugins

    def _providers(self, name: str) -> list[Provided]:
        if name in self._by_code:
            return [self._by_code[name]]
        return [provided for provided in self._discovered() if name in provided.spec.names]

    def _conflict(self, name: str, providers: list[Provided]) -> str:
        return (
            f"{self._what} kind {name!r} is provided by {' and by '.join(p.source for p in providers)}; "
            "uninstall one, or name it in KAYAK_DISABLED_PLUGINS"
        )

    def _unknown(self, kind: str) -> UnknownKindError:
        names = sorted({name for provided in self.specs() for name in provided.spec.names})
        parts = [f"unknown {self._what} kind {kind!r}; available: {', '.join(names)}"]
        if kind in FIRST_PARTY:
            parts.append(f"`pip install {FIRST_PARTY[kind]}` provides {kind!r}")
        elif near := difflib.get_close_matches(kind, [*names, *FIRST_PARTY], n=1):
            parts.append(f"did you mean {near[0]!r}?")
        parts += [
            f"plugin {p.name!r} of {p.distribution} is broken ({p.error}) and may have provided it"
            for p in plugin_manager().broken()
        ]
        parts += [
            f"plugin {p.name!r} of {p.distribution} is disabled ({p.error})"
            for p in plugin_manager().plugins()
            if p.status == "disabled"
        ]
        return UnknownKindError(". ".join(parts))
