"""Compiles the kernels to shared libraries that depend on nothing. Standard library only: the build hook uses it.

`mojo build` emits an object file, and the linker that comes with Mojo makes the library of it. Left to itself `mojo
build` links through a C compiler, which many machines lack, adds the C start-up files and records the path of the Mojo
installation. Linked with `-nostdlib -z defs`, a library that needed anything from outside would not link at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kayak_mojo.cpu import LEVELS, machine

NATIVE = "native"
"""The level of a library that is compiled for the exact processor of this machine."""

KERNELS = "kayak_kernels.mojo"
LLD_VARIABLE = "MODULAR_MOJO_MAX_LLD_PATH"  # Mojo's own
_EMULATIONS = {"x86_64": "elf_x86_64", "aarch64": "aarch64linux"}
_TIMEOUT_SECONDS = 1800
_PACKAGE = Path(__file__).parent


class CompilerError(RuntimeError):
    """The compiler or the linker is missing, or failed; the message holds what it said."""


def kernels_folder() -> Path:
    """Return the folder of the kernels' source: in an installed package, or beside `src` in a source tree."""
    packaged = _PACKAGE / "kernels"
    return packaged if packaged.is_dir() else _PACKAGE.parents[1] / "kernels"


def source_hash(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of all kernel sources.

    Raises:
        CompilerError: the sources are not there.
    """
    sources = sorted(folder.glob("*.mojo"))
    if folder / KERNELS not in sources:
        raise CompilerError(f"the kernels' source {folder / KERNELS} is missing; install kayak-mojo again")
    digest = hashlib.sha256()
    for path in sources:
        data = path.read_bytes()
        digest.update(f"{path.name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def compiler_version(cli: Sequence[str]) -> str:
    """Return what the compiler answers to `--version`.

    Raises:
        CompilerError: it cannot be run.
    """
    return _run([*cli, "--version"]).strip()


def library_name(level: str) -> str:
    """Return the file name of the library for a level."""
    return f"libkayak_mojo-{level}.{'dylib' if sys.platform == 'darwin' else 'so'}"


def architecture_of(level: str) -> str:
    """Return the architecture that a level belongs to, as `cpu.machine` names it."""
    return machine() if level == NATIVE else "aarch64" if level == "aarch64" else "x86_64"


def compile_kernels(cli: Sequence[str], folder: Path, level: str, output: Path) -> None:
    """Compile the kernels for one level.

    Args:
        cli: the Mojo command line, or a prefix that runs it.
        folder: where the sources are.
        level: one of `cpu.LEVELS`, or "native".
        output: the library to write.

    Raises:
        CompilerError: the compiler or the linker failed.
    """
    source = [str(folder / KERNELS), "-I", str(folder)]
    target = _target_options(level)
    if sys.platform == "darwin":  # libraries of macOS are linked by its own tools, and always need its libSystem
        _run([*cli, "build", *source, *target, "--emit", "shared-lib", "-o", str(output)])
        return
    with tempfile.TemporaryDirectory(prefix="kayak-mojo-") as scratch:
        compiled = str(Path(scratch) / "kernels.o")
        _run([*cli, "build", *source, *target, "--emit", "object", "-o", compiled])
        options = ["-shared", "-nostdlib", "-z", "defs", "-z", "noexecstack", "--gc-sections", "--strip-all"]
        options += ["--build-id=none", "-soname", output.name]
        architecture = architecture_of(level)
        if architecture == "aarch64":
            options += ["-z", "max-page-size=65536"]  # Arm kernels use pages of 4, 16 or 64 KiB
        _run([*_linker(cli), "-m", _EMULATIONS[architecture], *options, "-o", str(output), compiled])


def _target_options(level: str) -> list[str]:
    if level == NATIVE or sys.platform == "darwin":
        return []
    if level not in LEVELS:
        raise CompilerError(f"unknown level {level!r}; expected one of {', '.join((*LEVELS, NATIVE))}")
    architecture = architecture_of(level)
    processor = "generic" if architecture == "aarch64" else level
    return ["--target-triple", f"{architecture}-unknown-linux-gnu", "--target-cpu", processor]


def _linker(cli: Sequence[str]) -> list[str]:
    """Find the lld that came with this compiler, or one on PATH."""
    configured = os.environ.get(LLD_VARIABLE)
    command = Path(shutil.which(cli[0]) or cli[0])
    candidates = [Path(configured)] if configured else []
    for bin_folder in dict.fromkeys((command.parent, command.resolve().parent)):
        candidates.append(bin_folder / "lld")
        candidates += sorted(bin_folder.parent.glob("lib/python*/site-packages/modular/bin/lld"))
    for path in candidates:
        if path.is_file():
            return [str(path), "-flavor", "gnu"]
    for name in ("ld.lld", "lld"):
        found = shutil.which(name)
        if found:
            return [found] if name == "ld.lld" else [found, "-flavor", "gnu"]
    raise CompilerError(
        f"no linker: lld is neither beside {command} nor on PATH; set {LLD_VARIABLE} to the lld of your Mojo"
    )


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the compiler that the user installed or named
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompilerError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise CompilerError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{said}")
    return done.stdout
