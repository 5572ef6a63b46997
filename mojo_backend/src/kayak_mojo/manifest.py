"""The manifest beside compiled libraries: what each is, and the bytes it must have. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = 1
ABI_VERSION = 3
"""Version of the functions that the kernels export; they say theirs as `kayak_abi_version()`."""

MANIFEST_NAME = "manifest.json"


class ManifestError(ValueError):
    """A manifest is missing, damaged or of another version, or a library is not the one that it names."""


class Manifest(NamedTuple):
    """What was compiled, from what and by what.

    Attributes:
        source_sha256: hash of the kernels' source, see `compiling.source_hash`.
        compiler: what the compiler answers to `--version`.
        system: value of `sys.platform` for which it was compiled.
        machine: architecture, see `cpu.machine`.
        libraries: level to (file name, SHA-256 of the file).
        cpu: `cpu.identity()` of the one kind of processor that can run them; "" where the levels say it all.
        abi_version: see `ABI_VERSION`.
    """

    source_sha256: str
    compiler: str
    system: str
    machine: str
    libraries: dict[str, tuple[str, str]]
    cpu: str = ""
    abi_version: int = ABI_VERSION


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, replacing the one that is there at once: readers see the old or the new one."""
    text = json.dumps({"format": FORMAT, **manifest._asdict()}, indent=2, sort_keys=True) + "\n"
    replace_file(path, text.encode())


def replace_file(path: Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, so that nobody sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it is missing, damaged, of another format, or describes another ABI.
    """
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(f"{path} is missing") from error
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ManifestError(f"{path} is no manifest of format {FORMAT}")
    try:
        manifest = Manifest(**values)
        libraries = {str(level): (str(name), str(digest)) for level, (name, digest) in manifest.libraries.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{path} is damaged: {error}") from error
    if manifest.abi_version != ABI_VERSION:
        raise ManifestError(
            f"{path} describes kernels with ABI {manifest.abi_version}, but this kayak-mojo calls ABI {ABI_VERSION}"
        )
    return manifest._replace(libraries=libraries)


def library_path(folder: Path, manifest: Manifest, level: str) -> Path:
    """Return the path of a library whose bytes are those that the manifest names.

    Raises:
        ManifestError: there is none for the level, or its bytes differ.
    """
    if level not in manifest.libraries:
        raise ManifestError(f"{folder} holds no library for {level}; it holds {', '.join(sorted(manifest.libraries))}")
    name, expected = manifest.libraries[level]
    path = folder / name
    if Path(name).name != name:
        raise ManifestError(f"{folder} names a library outside of it: {name!r}")
    try:
        found = file_hash(path)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if found != expected:
        raise ManifestError(f"{path} is damaged or foreign: its SHA-256 is {found[:12]}…, expected {expected[:12]}…")
    return path
