"""Build hook: compiles the kernels and puts the libraries, with their manifest, into the wheel.

Environment variables:
    KAYAK_MOJO_SKIP_BUILD=1: compile nothing; the wheel is pure Python, and its executor says that it has no kernels.
    KAYAK_MOJO_TARGET: linux-x86_64 or linux-aarch64, to build for another architecture than this one.
    KAYAK_MOJO_CLI: the Mojo command line, a path or a command prefix.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "src"))
from kayak_mojo import compiling, cpu, manifest

COMPILER = "mojo>=1.2,<1.3"
SKIP_VARIABLE = "KAYAK_MOJO_SKIP_BUILD"
TARGET_VARIABLE = "KAYAK_MOJO_TARGET"
CLI_VARIABLE = "KAYAK_MOJO_CLI"
# Libraries for Linux are linked against nothing (see `compiling`), so any C library will do, of whatever age.
TAGS = {
    "linux-x86_64": "manylinux_2_17_x86_64.musllinux_1_1_x86_64",
    "linux-aarch64": "manylinux_2_17_aarch64.musllinux_1_1_aarch64",
    "darwin-aarch64": "macosx_14_0_arm64",
}


def skipped() -> bool:
    """Whether the user asked for a wheel without kernels."""
    return os.environ.get(SKIP_VARIABLE, "") not in ("", "0")


def host() -> str:
    """Return the system and architecture that the build runs on."""
    return f"{sys.platform}-{cpu.machine()}"


def target() -> str:
    """Return the system and architecture to build for."""
    chosen = os.environ.get(TARGET_VARIABLE) or host()
    if chosen not in TAGS and os.environ.get(TARGET_VARIABLE):
        raise ValueError(f"{TARGET_VARIABLE} is {chosen!r}; expected one of {', '.join(TAGS)}")
    return chosen


def find_cli() -> tuple[str, ...] | None:
    """Return the Mojo command line: the configured one, that of the isolated build environment, or the active one."""
    configured = os.environ.get(CLI_VARIABLE)
    if configured:
        return (configured,) if Path(configured).exists() else tuple(shlex.split(configured))
    found = shutil.which("mojo") or shutil.which("mojo", path=str(Path(sys.executable).parent))
    return (found,) if found else None


class KernelBuildHook(BuildHookInterface[Any]):
    """Compiles one library a level."""

    _scratch: Path | None = None

    def dependencies(self) -> list[str]:
        """Return the compiler as a build requirement, where kernels are built and it exists."""
        return [] if skipped() or host() not in TAGS else [COMPILER]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernels and add them to the wheel; leave it pure where that is not wanted or not possible."""
        cli = None if skipped() or target() not in TAGS else find_cli()
        if cli is None:
            self.app.display_warning(
                f"kayak-mojo is built without kernels: {self._why_not()}. It installs, and says that it cannot run"
            )
            return
        if version == "editable":  # imported from the source tree, so the libraries must lie there
            self._compile(cli, Path(self.root) / "src" / "kayak_mojo" / "libraries")
        else:
            self._scratch = Path(tempfile.mkdtemp(prefix="kayak-mojo-wheel-"))
            self._compile(cli, self._scratch)
            build_data["force_include"][str(self._scratch)] = "kayak_mojo/libraries"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{TAGS[target()]}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _why_not(self) -> str:
        if skipped():
            return f"{SKIP_VARIABLE} is set"
        if target() not in TAGS:
            return f"Mojo does not compile for {target()}"
        return f"there is no Mojo command line; install {COMPILER!r} into the build environment"

    def _compile(self, cli: tuple[str, ...], folder: Path) -> None:
        system, architecture = target().split("-")
        levels = [level for level in cpu.LEVELS if compiling.architecture_of(level) == architecture]
        sources = compiling.kernels_folder()
        folder.mkdir(parents=True, exist_ok=True)
        paths = {level: folder / compiling.library_name(level) for level in levels}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for future in [pool.submit(compiling.compile_kernels, cli, sources, lv, paths[lv]) for lv in levels]:
                future.result()
        manifest.write_manifest(
            folder / manifest.MANIFEST_NAME,
            manifest.Manifest(
                compiling.source_hash(sources),
                compiling.compiler_version(cli),
                system,
                architecture,
                {level: (path.name, manifest.file_hash(path)) for level, path in paths.items()},
            ),
        )
