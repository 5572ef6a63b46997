"""Libraries compiled on this machine, in the user's cache folder: a manifest a source, compiler and processor."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import kayak

from kayak_mojo import cpu
from kayak_mojo.compiling import CompilerError, kernels_folder, source_hash
from kayak_mojo.manifest import ManifestError, read_manifest

CACHE_VARIABLE = "KAYAK_MOJO_NO_CACHE"
_SUFFIX = ".json"


def cache_is_used() -> bool:
    """Whether compiled libraries are looked for: not where KAYAK_MOJO_NO_CACHE is set to anything but 0."""
    return os.environ.get(CACHE_VARIABLE, "") in ("", "0")


def libraries_folder() -> Path:
    """Return the folder that holds them; it may not exist."""
    return kayak.cache_folder() / "mojo"


def manifest_path(source_sha256: str, compiler: str) -> Path:
    """Return where the manifest for this processor lies, or would lie."""
    compiled_by = hashlib.sha256(compiler.encode()).hexdigest()[:12]
    return libraries_folder() / f"{cpu.identity()}-{source_sha256[:16]}-{compiled_by}{_SUFFIX}"


def cached_manifests(notes: list[str]) -> list[Path]:
    """Return the manifests for this processor and these kernels, the newest first.

    Args:
        notes: gets a line for each one that is passed over although it has the right name.
    """
    try:
        digest = source_hash(kernels_folder())
        prefix = f"{cpu.identity()}-{digest[:16]}-"
        found = [path for path in libraries_folder().iterdir() if path.name.startswith(prefix)]
        newest_first = sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))
    except FileNotFoundError:
        return []
    except (CompilerError, OSError) as error:
        notes.append(f"compiled libraries are not looked for: {error}")
        return []
    usable = []
    for path in newest_first:
        try:
            _require_own(path)
            _require_match(path, digest)
            usable.append(path)
        except ManifestError as error:
            notes.append(f"passed over: {error}; `kayak mojo build --force` compiles it again")
    return usable


def _require_match(path: Path, source_sha256: str) -> None:
    manifest = read_manifest(path)
    if (manifest.source_sha256, manifest.cpu) != (source_sha256, cpu.identity()):
        raise ManifestError(f"{path} is for other kernels or another processor")


def _require_own(path: Path) -> None:
    # A library is code that runs as this user, so nobody else may have put it there.
    for each in (path.parent, path):
        status = each.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & stat.S_IWOTH):
            raise ManifestError(f"{each} belongs to another user, or others may write it")
