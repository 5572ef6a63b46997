"""Compiles the kernels for the exact processor of this machine, proves the result, and publishes it in the cache."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import kayak

from kayak_mojo import cpu
from kayak_mojo.cache import libraries_folder, manifest_path
from kayak_mojo.compiling import (
    NATIVE,
    CompilerError,
    compile_kernels,
    compiler_version,
    kernels_folder,
    library_name,
    source_hash,
)
from kayak_mojo.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestError,
    file_hash,
    library_path,
    read_manifest,
    replace_file,
    write_manifest,
)

_VERIFY_SECONDS = 120


class KernelBuildError(kayak.KayakError, RuntimeError):
    """Compiling the kernels failed, or gave a library that computes something else."""


@attrs.frozen
class LocalBuild:
    """A library compiled for this processor.

    Attributes:
        library: its file in the cache.
        compiler: what compiled it.
        built: whether this call compiled it; False where it was there already.
    """

    library: Path
    compiler: str
    built: bool


def build_for_this_processor(*, force: bool = False) -> LocalBuild:
    """Compile the kernels for the exact processor of this machine, unless the cache holds the result.

    Processes may do so at the same time: each compiles for itself, and publishes with one rename.

    Args:
        force: whether to compile even if the cache holds it.

    Raises:
        MissingDependencyError: there is no Mojo command line.
        KernelBuildError: the compiler failed, or its library gives wrong scores.
        StorePathError: the cache folder cannot be written.
    """
    cli = kayak.mojo_bridge_info().cli
    if cli is None:
        raise kayak.MissingDependencyError(
            "compiling kernels needs the Mojo command line, and none was found; `pip install 'kayak-mojo[compiler]'` "
            "brings it, or name yours in KAYAK_MOJO_CLI"
        )
    try:
        compiler, source = compiler_version(cli), source_hash(kernels_folder())
        manifest_file = manifest_path(source, compiler)
        if not force and (library := _published(manifest_file)) is not None:
            return LocalBuild(library, compiler, built=False)
        _make_folder()
        with tempfile.TemporaryDirectory(prefix="kayak-mojo-") as scratch:
            manifest = _compiled(cli, compiler, source, Path(scratch))
            _verify(Path(scratch) / MANIFEST_NAME)
            return LocalBuild(_publish(manifest_file, manifest, Path(scratch)), compiler, built=True)
    except CompilerError as error:
        raise KernelBuildError(str(error)) from error


def _published(manifest_file: Path) -> Path | None:
    try:
        return library_path(manifest_file.parent, read_manifest(manifest_file), NATIVE)
    except ManifestError:  # none yet, or damaged: it is made anew
        return None


def _compiled(cli: tuple[str, ...], compiler: str, source: str, folder: Path) -> Manifest:
    library = folder / library_name(NATIVE)
    compile_kernels(cli, kernels_folder(), NATIVE, library)
    digest = file_hash(library)
    # Named after its content: a library that a running process has loaded is never overwritten.
    name = f"{digest[:16]}-{library.name}"
    library.rename(folder / name)
    manifest = Manifest(source, compiler, sys.platform, cpu.machine(), {NATIVE: (name, digest)}, cpu=cpu.identity())
    write_manifest(folder / MANIFEST_NAME, manifest)
    return manifest


def _verify(manifest_file: Path) -> None:
    # In a process of its own, as wrong code may end it.
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and a module of this package
            [sys.executable, "-m", "kayak_mojo.verification", str(manifest_file)],
            capture_output=True,
            text=True,
            timeout=_VERIFY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelBuildError(f"the compiled library could not be tried: {error}") from error
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        raise KernelBuildError(
            f"the compiled library failed its trial with exit code {done.returncode}: {said}; it is not used. Compile "
            "with the Mojo version of `pip install 'kayak-mojo[compiler]'`"
        )


def _make_folder() -> None:
    try:
        libraries_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _not_writable(error) from error


def _publish(manifest_file: Path, manifest: Manifest, folder: Path) -> Path:
    name, _ = manifest.libraries[NATIVE]
    library = manifest_file.parent / name
    try:
        replace_file(library, (folder / name).read_bytes())
        write_manifest(manifest_file, manifest)
    except OSError as error:
        raise _not_writable(error) from error
    return library


def _not_writable(error: OSError) -> kayak.StorePathError:
    return kayak.StorePathError(
        f"the cache folder {libraries_folder()} cannot be written: {error}; set XDG_CACHE_HOME to a folder that can"
    )
