"""`kayak.doctor`: a factual report about what is installed and what can run."""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import Any

import attrs
import numpy as np

from kayak.contracts import BackendInfo
from kayak.environment.backends import MojoBridgeInfo, backend_info, mojo_bridge_info
from kayak.environment.packages import (
    CORE_DISTRIBUTION,
    PackageStatus,
    core_location,
    installed_version,
    other_owners,
    package_statuses,
    requirements_of_extras,
)
from kayak.plugins import PluginInfo, executor_kinds, list_plugins, specs_of, usable_backends
from kayak.plugins.kinds import kind_conflicts
from kayak.plugins.manager import describe_error, unmatched_names
from kayak.retrieval.factory import preferred_backend
from kayak.values.backend_names import MOJO_EXACT_CPU_BACKEND

_OPENED_SORTS = ("encoder", "store", "candidate generator", "stage operator")
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD|DSN", re.IGNORECASE)


@attrs.frozen
class KindStatus:
    """A registered kind.

    Attributes:
        sort: "encoder", "store", "candidate generator" or "stage operator".
        name: the kind.
        aliases: other names of it.
        distribution: what provides it.
        available: whether it can be opened as far as is known without importing anything.
        reason: why not, and what to do; "" where it can.
    """

    sort: str
    name: str
    aliases: tuple[str, ...]
    distribution: str
    available: bool
    reason: str = ""


@attrs.frozen
class DoctorReport:
    """What is installed and what can run. `print` it, or use `to_dict()`.

    Attributes:
        versions: versions of Python, the core, NumPy, its BLAS and so on, by name.
        cpu_count: CPUs that this process may use.
        kinds: the registered kinds.
        backends: the executors, available or not.
        default_backend: what `open_text_retriever` uses unless told otherwise; None where no backend can run.
        mojo: state of the Mojo executor and the Mojo command line.
        packages: optional packages, installed or not.
        plugins: plugins, working or not.
        variables: environment variables that start with KAYAK_; those whose names suggest a secret show no value.
        warnings: what is wrong and what to do about it.
    """

    versions: dict[str, str]
    cpu_count: int
    kinds: tuple[KindStatus, ...]
    backends: tuple[BackendInfo, ...]
    default_backend: str | None
    mojo: MojoBridgeInfo
    packages: tuple[PackageStatus, ...]
    plugins: tuple[PluginInfo, ...]
    variables: dict[str, str]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return attrs.asdict(self)

    def __str__(self) -> str:
        sections = {
            "Warnings": list(self.warnings),
            "Versions": [*(f"{name}: {version}" for name, version in self.versions.items()), f"CPUs: {self.cpu_count}"],
            **{f"{sort.capitalize()} kinds": self._kind_lines(sort) for sort in _OPENED_SORTS},
            "Backends": [
                *(f"{info.name}: {_verdict(info.available)}; {info.availability_reason}" for info in self.backends),
                f"open_text_retriever uses: {self.default_backend or 'none, as no backend can run'}",
            ],
            "Mojo": str(self.mojo).splitlines(),
            "Optional packages": [
                f"{package.name}: {package.version or 'not installed'} ({'; '.join(package.needed_by)})"
                for package in self.packages
            ],
            "Plugins": [
                f"{plugin.name} ({' '.join(filter(None, (plugin.distribution, plugin.version)))}): {plugin.status}"
                + (f"; {plugin.error}" if plugin.error else "")
                for plugin in self.plugins
            ],
            "Environment variables": [f"{name}={value}" for name, value in self.variables.items()],
        }
        return "\n".join(
            line for title, lines in sections.items() if lines for line in (title, *(f"  {each}" for each in lines))
        )

    def _kind_lines(self, sort: str) -> list[str]:
        return [
            kind.name
            + (f" (also {', '.join(kind.aliases)})" if kind.aliases else "")
            + f": {_verdict(kind.available)}, from {kind.distribution}"
            + (f"; {kind.reason}" if kind.reason else "")
            for kind in self.kinds
            if kind.sort == sort
        ]


def doctor(*, probe_mojo_load: bool = False) -> DoctorReport:
    """Report what is installed and what can run, from facts alone.

    Nothing optional is imported, and a broken plugin is reported, not raised.

    Args:
        probe_mojo_load: whether to run the Mojo command line, if one is found, to ask for its version.
    """
    plugins = list_plugins()
    broken = {(p.name, p.distribution): p.error for p in plugins if p.status == "broken"}
    warnings = [
        f"plugin {p.name!r} of {p.distribution} is broken: {p.error}. Mend or uninstall it, or disable it with "
        f"KAYAK_DISABLED_PLUGINS={p.name}"
        for p in plugins
        if p.status == "broken"
    ]
    warnings += kind_conflicts()
    warnings += [
        f"{variable} names {name!r}, but no plugin has that name; installed: {', '.join(p.name for p in plugins)}"
        for variable, name in unmatched_names()
    ]
    warnings += [
        f"distribution {owner!r} installs files under the import name 'kayak' too, so one overwrites the other; "
        f"run `pip uninstall {owner}`, then `pip install --force-reinstall {CORE_DISTRIBUTION}`"
        for owner in other_owners()
    ]
    names = dict.fromkeys([*executor_kinds(), MOJO_EXACT_CPU_BACKEND])
    return DoctorReport(
        versions=_versions(),
        cpu_count=_usable_cpus(),
        kinds=tuple(status for sort in _OPENED_SORTS for status in _kind_statuses(sort, broken)),
        backends=tuple(_backend(name) for name in names),
        default_backend=preferred_backend() if usable_backends() else None,
        mojo=_mojo(probe_mojo_load),
        packages=package_statuses([*requirements_of_extras(), *_requirements_of_kinds()]),
        plugins=plugins,
        variables={
            name: "(set, not shown)" if _SECRET.search(name) else value
            for name, value in sorted(os.environ.items())
            if name.startswith("KAYAK_")
        },
        warnings=tuple(warnings),
    )


def _versions() -> dict[str, str]:
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "Python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "kayak-core": core_location(),
        "numpy": np.__version__,
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "attrs": installed_version("attrs") or "unknown",
        "pluggy": installed_version("pluggy") or "unknown",
    }


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kind_statuses(sort: str, broken: dict[tuple[str, str], str]) -> list[KindStatus]:
    statuses = []
    for provided in specs_of(sort):
        spec = provided.spec
        error = broken.get((provided.plugin, provided.distribution))
        missing = [p for p in package_statuses([(r, sort) for r in spec.requirements]) if p.version is None]
        reason = ""
        if error is not None:
            reason = f"its plugin {provided.plugin!r} is broken: {error}"
        elif missing:
            reason = f"`pip install {' '.join(repr(r) for r in spec.requirements)}` brings what is missing"
        statuses.append(KindStatus(sort, spec.name, spec.aliases, provided.distribution, not reason, reason))
    return statuses


def _requirements_of_kinds() -> list[tuple[str, str]]:
    return [
        (requirement, f"{sort} {provided.spec.name!r}")
        for sort in (*_OPENED_SORTS, "executor")
        for provided in specs_of(sort)
        for requirement in provided.spec.requirements
    ]


def _backend(name: str) -> BackendInfo:
    try:
        return backend_info(name)
    except Exception as error:  # noqa: BLE001 - an executor's factory is a plugin's code and may raise anything; it is shown
        return BackendInfo(
            name, available=False, query_layouts=(), index_layouts=(), availability_reason=describe_error(error)
        )


def _mojo(probe: bool) -> MojoBridgeInfo:
    try:
        return mojo_bridge_info(probe_load=probe)
    except Exception as error:  # noqa: BLE001 - as above
        return MojoBridgeInfo(_backend(MOJO_EXACT_CPU_BACKEND), None, None, error=describe_error(error))


def _verdict(available: bool) -> str:
    return "available" if available else "not available"
