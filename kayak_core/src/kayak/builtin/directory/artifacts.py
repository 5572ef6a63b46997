"""The artifacts of a directory store: which parts each has stands in the catalog, the parts lie in files."""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from kayak.builtin.directory.artifact_files import ARTIFACTS, StoredPart, read_part, write_part
from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.schema import ARTIFACTS_TABLE
from kayak.errors import InvalidInputError, StoreBusyError
from kayak.values.artifacts import ArtifactPart

Transaction = Callable[[], AbstractContextManager[sqlite3.Connection]]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_ATTEMPTS = 100


class DirectoryArtifacts:
    """Artifacts beside the documents, under the same write lock, with the same promise: before or after, never between.

    Args:
        folder: the store's folder.
        catalog: its catalog, for messages.
        reading: gives a connection inside a read transaction.
        writing: gives one inside the write transaction.
    """

    def __init__(self, folder: Path, catalog: Path, reading: Transaction, writing: Transaction) -> None:
        self._folder = folder
        self._catalog = catalog
        self._reading = reading
        self._writing = writing
        self._read: dict[str, tuple[tuple[StoredPart, ...], tuple[ArtifactPart, ...]]] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of the artifacts, sorted."""
        with self._reading() as connection:
            return tuple(sorted(read_rows(connection, self._catalog)))

    def read(self, name: str) -> tuple[ArtifactPart, ...]:
        """Return the parts of an artifact, mapped and compared with their checksums; see `ArtifactShelf.read`."""
        before: tuple[StoredPart, ...] | None = None
        for _ in range(_ATTEMPTS):
            with self._reading() as connection:
                stored = read_rows(connection, self._catalog).get(name, ())
            known = self._read.get(name)
            if known is not None and known[0] == stored:  # files never change: each is compared once a store object
                return known[1]
            try:
                parts = tuple(read_part(self._folder, part) for part in stored)
            except FileNotFoundError as error:  # replaced meanwhile: then the catalog names others by now
                if stored == before:
                    raise corrupt(Path(error.filename), "it is missing") from error
                before = stored
            else:
                self._read[name] = (stored, parts)
                return parts
        raise StoreBusyError(f"artifact {name!r} of {self._folder} changes faster than it can be read; try again")

    def write(self, name: str, parts: Sequence[ArtifactPart], *, seen: Sequence[ArtifactPart] | None = ()) -> None:
        """Make these the parts of an artifact, all or nothing; see `ArtifactShelf.write`."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInputError(
                f"{name!r} is no name of an artifact; use up to 100 lower-case letters, digits, '.', '_' and '-'"
            )
        with self._writing() as connection:
            rows = read_rows(connection, self._catalog)
            stored = {part.file: part for part in rows.get(name, ())}
            if seen is not None and list(stored) != [part.file for part in seen]:
                raise StoreBusyError(
                    f"artifact {name!r} of {self._folder} is not as it was read: somebody else has written it; read it "
                    "again and repeat"
                )
            wanted = [
                write_part(self._folder, part) if part.file is None else stored[part.file]
                for part in parts
                if part.file is None or part.file in stored
            ]
            if len(wanted) != len(parts):
                raise InvalidInputError("a part that is kept must be among those that were seen")
            _write_rows(connection, name, wanted)
        kept = {part.file for part in wanted}
        _remove(self._folder, [file for file in stored if file not in kept])


def read_rows(connection: sqlite3.Connection, catalog: Path) -> dict[str, tuple[StoredPart, ...]]:
    """Return the parts of each artifact, in order.

    Raises:
        StoreCorruptError: a row is altered.
    """
    if not _has_table(connection):
        return {}
    found: dict[str, tuple[StoredPart, ...]] = {}
    statement = "SELECT name, place, file, byte_size, header_crc, row_crc FROM artifacts ORDER BY name, place"
    for name, place, *part, row_crc in connection.execute(statement):
        if _row_crc(name, place, part) != row_crc:
            raise corrupt(catalog, "its table `artifacts` does not match its checksum")
        found[name] = (*found.get(name, ()), StoredPart(*part))
    return found


def remove_orphan_parts(folder: Path, connection: sqlite3.Connection, catalog: Path) -> None:
    """Remove what killed processes left; the caller holds the write lock."""
    if (folder / ARTIFACTS).is_dir():
        known = {part.file for parts in read_rows(connection, catalog).values() for part in parts}
        _remove(folder, [path.name for path in (folder / ARTIFACTS).glob("*.part") if path.name not in known])


def _write_rows(connection: sqlite3.Connection, name: str, parts: Sequence[StoredPart]) -> None:
    if not _has_table(connection):
        connection.execute(ARTIFACTS_TABLE)  # with the first artifact: a store without one stays as it was
    connection.execute("DELETE FROM artifacts WHERE name = ?", (name,))
    connection.executemany(
        "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?)",
        [(name, place, *part, _row_crc(name, place, part)) for place, part in enumerate(parts)],
    )


def _has_table(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'artifacts'").fetchall())


def _row_crc(name: object, place: object, part: Sequence[object]) -> int:
    return zlib.crc32(repr((name, place, *part)).encode())


def _remove(folder: Path, files: Sequence[str]) -> None:
    for file in files:
        with suppress(OSError):  # what cannot be removed now, the next writer removes
            (folder / ARTIFACTS / file).unlink()
