"""Finds plugins, isolates broken ones, and collects the specs that the others provide.

pluggy's own entry-point loading gives up at the first failing plugin and skips duplicate names without a word, so
plugins are loaded here one by one, and every hook implementation is called on its own.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

import attrs
import pluggy

import kayak  # for the version
from kayak.errors import InvalidTypeError
from kayak.hookspecs import PROJECT_NAME, KayakSpecs
from kayak.specs import (
    CandidateGeneratorSpec,
    EncoderSpec,
    ExecutorSpec,
    PluginSpec,
    StageOperatorSpec,
    StoreSpec,
)

ENTRY_POINT_GROUP = "kayak"
ALLOW_VARIABLE = "KAYAK_PLUGINS"
BLOCK_VARIABLE = "KAYAK_DISABLED_PLUGINS"
CORE_PLUGIN = "core"
_CORE_MODULE = "kayak.builtin.plugin"
_CORE_DISTRIBUTION = "kayak-core"
_MAX_ERROR_LENGTH = 300

_S = TypeVar("_S", bound=PluginSpec)


@attrs.frozen
class PluginInfo:
    """One plugin, as `kayak plugins` lists it.

    Attributes:
        name: name of its entry point, as used in KAYAK_PLUGINS and KAYAK_DISABLED_PLUGINS.
        distribution: the distribution that installed it.
        version: that distribution's version.
        module: what the entry point names.
        status: "ok", "broken" or "disabled".
        error: what is wrong with a broken plugin, or why it is disabled.
        provides: "kind: name" of everything that it provides.
    """

    name: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "broken", "disabled"]
    error: str = ""
    provides: tuple[str, ...] = ()


@attrs.frozen
class Provided:
    """A spec and the plugin that it came from.

    Attributes:
        spec: what is provided.
        plugin: name of the plugin.
        distribution: distribution of the plugin.
    """

    spec: PluginSpec
    plugin: str
    distribution: str

    @property
    def source(self) -> str:
        """The provider, for messages."""
        return f"distribution {self.distribution!r} (plugin {self.plugin!r})"


@attrs.define
class _Plugin:
    name: str
    distribution: str
    version: str
    module: str
    error: str = ""
    disabled: str = ""
    provided: list[tuple[str, str]] = attrs.field(factory=list)


class PluginManager:
    """Loads plugins once and answers, kind by kind, what they provide."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT_NAME)
        self._pluggy.add_hookspecs(KayakSpecs)
        self._plugins: dict[str, _Plugin] = {}
        self._load_core()
        self._load_entry_points()

    def encoders(self) -> tuple[Provided, ...]:
        """Collect what `kayak_encoders` hooks provide."""
        return self._collect("kayak_encoders", "encoder", EncoderSpec)

    def stores(self) -> tuple[Provided, ...]:
        """Collect what `kayak_stores` hooks provide."""
        return self._collect("kayak_stores", "store", StoreSpec)

    def candidate_generators(self) -> tuple[Provided, ...]:
        """Collect what `kayak_candidate_generators` hooks provide."""
        return self._collect("kayak_candidate_generators", "candidate generator", CandidateGeneratorSpec)

    def stage_operators(self) -> tuple[Provided, ...]:
        """Collect what `kayak_stage_operators` hooks provide."""
        return self._collect("kayak_stage_operators", "stage operator", StageOperatorSpec)

    def executors(self) -> tuple[Provided, ...]:
        """Collect what `kayak_executors` hooks provide."""
        return self._collect("kayak_executors", "executor", ExecutorSpec)

    def plugins(self) -> tuple[PluginInfo, ...]:
        """Describe every plugin, working or not, in order of discovery."""
        return tuple(_describe(plugin) for plugin in self._plugins.values())

    def broken(self) -> tuple[PluginInfo, ...]:
        """Describe the plugins that failed."""
        return tuple(info for info in self.plugins() if info.status == "broken")

    def error_of(self, provided: Provided) -> str:
        """Return what is wrong with the plugin that a spec comes from; empty where nothing is."""
        for plugin in self._plugins.values():
            if plugin.error and (plugin.name, plugin.distribution) == (provided.plugin, provided.distribution):
                return plugin.error
        return ""

    def _load_core(self) -> None:
        plugin = _Plugin(CORE_PLUGIN, _CORE_DISTRIBUTION, kayak.__version__, _CORE_MODULE)
        self._pluggy.register(importlib.import_module(_CORE_MODULE), name=CORE_PLUGIN)
        self._plugins[CORE_PLUGIN] = plugin

    def _load_entry_points(self) -> None:
        allowed = _names_in(ALLOW_VARIABLE)
        blocked = _names_in(BLOCK_VARIABLE) or frozenset()
        found = _without_repeats(entry_points(group=ENTRY_POINT_GROUP))
        names = [entry.name for entry in found]
        for entry in found:
            plugin = _Plugin(entry.name, *_distribution_of(entry), entry.value)
            key = entry.name
            if names.count(entry.name) > 1 or entry.name == CORE_PLUGIN:
                key = f"{entry.name} ({plugin.distribution})"
                others = sorted({_distribution_of(e)[0] for e in found if e.name == entry.name})
                claimants = others if entry.name != CORE_PLUGIN else [_CORE_DISTRIBUTION, *others]
                plugin.error = (
                    f"plugin name {entry.name!r} is claimed by {' and '.join(claimants)}; uninstall one, or ask its "
                    "author to rename its entry point"
                )
            if allowed is not None and entry.name not in allowed:
                plugin.disabled, plugin.error = f"not listed in {ALLOW_VARIABLE}", ""
            elif entry.name in blocked:
                plugin.disabled, plugin.error = f"listed in {BLOCK_VARIABLE}", ""
            self._plugins[key] = plugin
            if not plugin.error and not plugin.disabled:
                self._load(entry, plugin)

    def _load(self, entry: EntryPoint, plugin: _Plugin) -> None:
        try:
            self._pluggy.register(entry.load(), name=entry.name)
            self._pluggy.check_pending()  # the only thing that notices a misspelt hook
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's import may raise anything; it is kept and shown
            plugin.error = describe_error(error)
            if self._pluggy.has_plugin(entry.name):
                self._pluggy.unregister(name=entry.name)

    def _collect(self, hook: str, what: str, expected: type[_S]) -> tuple[Provided, ...]:
        collected: list[Provided] = []
        caller = getattr(self._pluggy.hook, hook)
        for implementation in caller.get_hookimpls():
            plugin = self._plugins[implementation.plugin_name]
            try:
                for spec in _specs(implementation.function, hook, expected):
                    collected.append(Provided(spec, plugin.name, plugin.distribution))
                    if (what, spec.name) not in plugin.provided:
                        plugin.provided.append((what, spec.name))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's hook may raise anything; it is kept and shown
                plugin.error = f"{hook}: {describe_error(error)}"
        return tuple(collected)


def _specs(function: Callable[..., Any], hook: str, expected: type[_S]) -> Iterator[_S]:
    result = function()
    if isinstance(result, PluginSpec) or not isinstance(result, Iterable):
        raise InvalidTypeError(f"{hook} must yield {expected.__name__} objects, got {type(result).__name__}")
    for spec in result:
        if not isinstance(spec, expected):
            raise InvalidTypeError(f"{hook} must yield {expected.__name__} objects, got {spec!r:.80}")
        yield spec


def _describe(plugin: _Plugin) -> PluginInfo:
    status: Literal["ok", "broken", "disabled"] = "disabled" if plugin.disabled else "broken" if plugin.error else "ok"
    return PluginInfo(
        plugin.name,
        plugin.distribution,
        plugin.version,
        plugin.module,
        status,
        plugin.disabled or plugin.error,
        tuple(f"{what}: {name}" for what, name in plugin.provided),
    )


def describe_error(error: BaseException) -> str:
    """Return an exception's class and message on one line, cut to a readable length."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a plugin's exception may be broken itself
        text = "its message cannot be shown"
    if len(text) > _MAX_ERROR_LENGTH:
        text = f"{text[:_MAX_ERROR_LENGTH]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unmatched_names() -> tuple[tuple[str, str], ...]:
    """Return (variable, name) for each name in KAYAK_PLUGINS or KAYAK_DISABLED_PLUGINS that no plugin has."""
    known = {plugin.name for plugin in plugin_manager().plugins()}
    return tuple(
        (variable, name)
        for variable in (ALLOW_VARIABLE, BLOCK_VARIABLE)
        for name in sorted(_names_in(variable) or ())
        if name not in known
    )


def entry_point_is_allowed(name: str) -> bool:
    """Whether KAYAK_PLUGINS and KAYAK_DISABLED_PLUGINS let an entry point of this name be loaded."""
    allowed = _names_in(ALLOW_VARIABLE)
    return (allowed is None or name in allowed) and name not in (_names_in(BLOCK_VARIABLE) or ())


def _names_in(variable: str) -> frozenset[str] | None:
    value = os.environ.get(variable)
    if value is None:
        return None
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def _without_repeats(found: Iterable[EntryPoint]) -> list[EntryPoint]:
    # The same distribution may be found twice, for example through a folder that is on the path twice.
    seen: dict[tuple[str, str, str], EntryPoint] = {}
    for entry in found:
        seen.setdefault((_distribution_of(entry)[0], entry.name, entry.value), entry)
    return sorted(seen.values(), key=lambda entry: (entry.name, _distribution_of(entry)[0]))


def _distribution_of(entry: EntryPoint) -> tuple[str, str]:
    # A damaged installation may have entry points and no METADATA.
    metadata: Any = entry.dist.metadata if entry.dist is not None else {}
    return metadata.get("Name") or "unknown distribution", metadata.get("Version") or ""


_lock = threading.RLock()
_manager: PluginManager | None = None


def plugin_manager() -> PluginManager:
    """Return the process's plugin manager, discovering plugins on first use."""
    global _manager  # noqa: PLW0603 - one manager a process, made on first use
    with _lock:
        if _manager is None:
            _manager = PluginManager()
        return _manager


def list_plugins() -> tuple[PluginInfo, ...]:
    """Describe every installed plugin, the core's own first: name, distribution, status and what it provides.

    Broken plugins are listed with their error; nothing raises because of them.
    """
    manager = plugin_manager()
    for collect in (
        manager.encoders,
        manager.stores,
        manager.candidate_generators,
        manager.stage_operators,
        manager.executors,
    ):
        collect()
    return manager.plugins()
