"""The store's folder: what lies where, creating one, and the mark of the last acknowledged write."""

from __future__ import annotations

import os
import sqlite3
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kayak.builtin.directory.faults import catalog_errors, corrupt, file_errors
from kayak.builtin.directory.schema import Meta, write_schema
from kayak.errors import StorePathError, StoreVersionError

CATALOG = "catalog.sqlite"
SEGMENTS = "segments"
MARK = "acknowledged"
LEGACY_FILES = ("manifest.json", "doc_ids.json", "doc_offsets.npy", "token_vectors.npy")

_NEW = f"{CATALOG}.new-"
_MARK_MAGIC = b"KAYAKGEN"
_mark = struct.Struct("<8sqI")
_MARK_ATTEMPTS = 100


def catalog_path(folder: Path) -> Path:
    """Return the path of the catalog."""
    return folder / CATALOG


def segment_path(folder: Path, segment: int) -> Path:
    """Return the path of a vector segment."""
    return folder / SEGMENTS / f"{segment:08d}.vec"


def is_legacy_folder(folder: Path) -> bool:
    """Return whether a folder is a store of kayak 0.3."""
    return (folder / "manifest.json").is_file() and not catalog_path(folder).exists()


def prepare_folder(folder: Path, *, create: bool, meta: Meta) -> None:
    """Make sure that the folder holds a catalog, creating an empty store where there is nothing yet.

    Args:
        folder: where the store is or will be.
        create: whether to create a store in a folder that is missing or empty.
        meta: the totals of a new store.

    Raises:
        StorePathError: the path is a file, cannot be used, is missing with `create=False`, or is a folder with
            other content; that content is left as it is.
        StoreVersionError: the folder is a store of kayak 0.3.
        StoreCorruptError: there are segments, but no catalog.
    """
    with file_errors(folder, "open"):
        if folder.exists() and not folder.is_dir():
            raise StorePathError(f"{folder} is a file, but a kayak store is a folder; choose another path")
        if catalog_path(folder).exists():
            return
        names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        if is_legacy_folder(folder):
            raise StoreVersionError(
                f"{folder} is a store of kayak 0.3. Import it into a new one: "
                f"`kayak.import_kayak_03_store({str(folder)!r}, kayak.open_store('kayak', path=<new folder>))`."
            )
        if any((folder / SEGMENTS).glob("*.vec")):
            raise corrupt(folder, f"it holds vector segments, but {CATALOG} is missing")
        foreign = [name for name in names if name not in (SEGMENTS, MARK) and not name.startswith(_NEW)]
        if foreign:
            raise StorePathError(
                f"{folder} is neither empty nor a kayak store (it holds {foreign[0]!r}); choose another path"
            )
    if not create:
        raise StorePathError(f"there is no kayak store at {folder}; check the path, or open it with create=True")
    with file_errors(folder, "create"):
        _create(folder, meta)


def _create(folder: Path, meta: Meta) -> None:
    """Create an empty store; mark and catalog appear whole, the catalog last, so a kill leaves no half of a store."""
    (folder / SEGMENTS).mkdir(parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        _create_mark(folder)
    building = folder / f"{_NEW}{uuid.uuid4().hex}"
    try:
        with (
            catalog_errors(building, busy_timeout=0.0),
            closing(sqlite3.connect(building, isolation_level=None)) as connection,
        ):
            write_schema(connection, meta)
        _put_in_place(building, catalog_path(folder))
        sync_folder(folder)
        sync_folder(folder.parent)
    finally:
        building.unlink(missing_ok=True)


def _create_mark(folder: Path) -> None:
    building = folder / f"{_NEW}{uuid.uuid4().hex}"
    try:
        with building.open("xb") as file:
            file.write(_packed_mark(0))
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(building, folder / MARK)
    finally:
        building.unlink(missing_ok=True)


def _put_in_place(building: Path, path: Path) -> None:
    """Give a whole file its name, unless another process that creates the store has done so: then that one counts."""
    try:
        os.link(building, path)
    except OSError:
        if not path.exists():
            building.rename(path)  # a file system without hard links


def _packed_mark(generation: int) -> bytes:
    return _mark.pack(_MARK_MAGIC, generation, zlib.crc32(generation.to_bytes(8, "little")))


def remove_unfinished_catalogs(folder: Path) -> None:
    """Remove what processes left that were killed while they created the store."""
    for path in folder.glob(f"{_NEW}*"):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the platform can."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def acknowledging(folder: Path) -> Iterator[Callable[[int], None]]:
    """Give a function that notes the generation of an acknowledged write.

    SQLite takes a damaged write-ahead log for one that ends earlier, and silently shows an older state. The mark
    makes that visible: it is written after each commit, so a catalog older than the mark has lost writes. Its file is
    opened before the write, so that what can fail does so while nothing is committed.
    """
    path = folder / MARK
    with file_errors(path, "write"):
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))

    def acknowledge(generation: int) -> None:
        os.write(descriptor, _packed_mark(generation))  # in place: it may reach the disk when it likes

    try:
        yield acknowledge
    finally:
        os.close(descriptor)


def read_mark(folder: Path) -> int:
    """Return a generation that the catalog must have reached.

    Raises:
        StoreCorruptError: the mark is missing or altered.
    """
    path = folder / MARK
    for _ in range(_MARK_ATTEMPTS):  # a writer may be replacing the bytes at this moment
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise corrupt(path, "it is missing") from error
        if len(data) == _mark.size:
            magic, generation, crc = _mark.unpack(data)
            if magic == _MARK_MAGIC and generation >= 0 and crc == zlib.crc32(generation.to_bytes(8, "little")):
                return int(generation)
    raise corrupt(path, "it does not match its checksum")


def folder_byte_size(folder: Path) -> int:
    """Return the bytes of all files of the store."""
    total = 0
    for directory in filter(Path.is_dir, (folder, folder / SEGMENTS, folder / "artifacts")):
        for entry in os.scandir(directory):
            with suppress(FileNotFoundError):  # removed by a compaction meanwhile
                total += entry.stat().st_size if entry.is_file() else 0
    return total
