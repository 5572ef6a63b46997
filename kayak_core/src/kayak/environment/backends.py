"""Which executors there are, and what would make a missing one available."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

from kayak.contracts import BackendInfo
from kayak.plugins import executor_kinds, find_executor, usable_backends
from kayak.values.backend_names import MOJO_EXACT_CPU_BACKEND

MOJO_CLI_VARIABLE = "KAYAK_MOJO_CLI"
_PROBE_TIMEOUT_SECONDS = 20


def available_backends() -> tuple[str, ...]:
    """Return the names of the backends that can run here, sorted."""
    return usable_backends()


def backend_info(name: str) -> BackendInfo:
    """Describe a backend, whether it can run here or not.

    Raises:
        UnknownKindError: no such backend, and none that a distribution of ours provides.
        PluginError: the plugin that provides it is broken.
    """
    if name == MOJO_EXACT_CPU_BACKEND and name not in executor_kinds():
        return BackendInfo(
            name,
            available=False,
            requires_mojo=True,
            availability_reason="the plugin that provides it is not installed; `pip install kayak-mojo` brings "
            "prebuilt kernels, no compiler needed",
        )
    return find_executor(name, must_run=False).backend_info()


@attrs.frozen
class MojoBridgeInfo:
    """State of the Mojo executor and of the Mojo command line, which is needed only to compile kernels.

    Attributes:
        backend: what `backend_info("mojo_exact_cpu")` says.
        cli: the command that would be used to compile, or None where none is found.
        cli_source: where it was found: the environment variable, the active environment, PATH or pixi.
        cli_version: what it answered to `--version`; None unless probed.
        error: why probing failed, or None.
    """

    backend: BackendInfo
    cli: tuple[str, ...] | None
    cli_source: str | None
    cli_version: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        lines = [
            f"{self.backend.name}: {'available' if self.backend.available else 'not available'}",
            *(f"  {text}" for text in (self.backend.availability_reason, self.backend.detail) if text),
        ]
        if self.cli is None:
            lines.append("  Mojo command line: none found (needed only to compile kernels for the exact CPU)")
        else:
            lines.append(f"  Mojo command line: {shlex.join(self.cli)} (from {self.cli_source})")
        lines += [f"  {text}" for text in (self.cli_version, self.error) if text]
        return "\n".join(lines)


def mojo_bridge_info(*, probe_load: bool = False) -> MojoBridgeInfo:
    """Describe the Mojo executor and the Mojo command line.

    The command line is looked for in this order: KAYAK_MOJO_CLI (a path or a command prefix), a `mojo` in the active
    Python environment, `mojo` on PATH, `pixi run mojo`.

    Args:
        probe_load: whether to run the command line found with `--version`.
    """
    backend = backend_info(MOJO_EXACT_CPU_BACKEND)
    cli, source = _find_mojo_cli()
    if cli is None or not probe_load:
        return MojoBridgeInfo(backend, cli, source)
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, run because the user asked for it
            [*cli, "--version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return MojoBridgeInfo(backend, cli, source, error=f"running it failed: {error}")
    return MojoBridgeInfo(backend, cli, source, cli_version=done.stdout.strip())


def _find_mojo_cli() -> tuple[tuple[str, ...] | None, str | None]:
    configured = os.environ.get(MOJO_CLI_VARIABLE)
    if configured:
        parts = (configured,) if Path(configured).exists() else tuple(shlex.split(configured))
        return parts, MOJO_CLI_VARIABLE
    active = shutil.which("mojo", path=str(Path(sys.executable).parent))
    if active:
        return (active,), "the active Python environment"
    on_path = shutil.which("mojo")
    if on_path:
        return (on_path,), "PATH"
    pixi = shutil.which("pixi")
    if pixi and any((folder / "pixi.toml").exists() for folder in (Path.cwd(), *Path.cwd().parents)):
        return (pixi, "run", "mojo"), "pixi"
    return None, None
