"""Vector segments: append-only files of token vectors, read through memory maps."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs
import numpy as np

from kayak.builtin.directory.faults import corrupt, file_errors
from kayak.builtin.directory.folder import segment_path, sync_folder
from kayak.builtin.directory.row_layout import RowLayout, StoredRows
from kayak.typing import Int64Vector

HEADER_BYTES = 64
"""Vectors start here, so that rows are aligned for SIMD loads."""

_MAGIC = b"KAYAKVEC"
_SEGMENT_FORMAT = 1
_header = struct.Struct("<8sII8sQ")
_NamesDocument: TypeAlias = Callable[[int], str]


def _header_bytes(segment: int, vector_dim: int, vector_dtype: str) -> bytes:
    body = _header.pack(_MAGIC, _SEGMENT_FORMAT, vector_dim, vector_dtype.encode(), segment)
    body = body.ljust(HEADER_BYTES - 4, b"\0")
    return body + zlib.crc32(body).to_bytes(4, "little")


@attrs.frozen
class SegmentRow:
    """What the catalog says about one segment.

    Attributes:
        segment: the segment's number.
        vector_dim: dimension of its vectors.
        row_count: committed token vectors; the file may be longer where a writer died.
        vector_dtype: stored element type.
    """

    segment: int
    vector_dim: int
    row_count: int
    vector_dtype: str

    @property
    def layout(self) -> RowLayout:
        """How its token vectors lie."""
        return RowLayout(self.vector_dtype, self.vector_dim)

    @property
    def row_bytes(self) -> int:
        """Bytes of one token vector."""
        return self.layout.row_bytes

    @property
    def byte_size(self) -> int:
        """Bytes of the committed part of the file."""
        return HEADER_BYTES + self.row_count * self.row_bytes

    def check_file(self, path: Path, size: int, header: bytes) -> None:
        """Require the file's size and header to be what the catalog says.

        Raises:
            StoreCorruptError: the file is truncated, altered, or belongs elsewhere.
        """
        if size < self.byte_size:
            raise corrupt(path, f"it has {size} bytes instead of at least {self.byte_size}")
        if header != _header_bytes(self.segment, self.vector_dim, self.vector_dtype):
            raise corrupt(
                path,
                f"its header is not that of segment {self.segment} with {self.vector_dtype} vectors of dimension "
                f"{self.vector_dim}",
            )


def append_rows(folder: Path, row: SegmentRow, rows: StoredRows) -> None:
    """Write token vectors behind the committed ones, durably.

    The caller holds the write lock. Bytes behind the committed ones were never acknowledged and are overwritten.

    Args:
        folder: the store's folder.
        row: the segment as committed; with no rows, the file is created.
        rows: the token vectors, C-contiguous, in the segment's layout.

    Raises:
        StoreCorruptError: the file is not what the catalog says.
        StorePathError: it cannot be written.
    """
    path = segment_path(folder, row.segment)
    with file_errors(path, "write"):
        if not path.exists() and row.row_count:
            raise corrupt(path, "it is missing")
        with path.open("r+b" if row.row_count else "w+b") as file:
            if row.row_count:
                row.check_file(path, os.fstat(file.fileno()).st_size, file.read(HEADER_BYTES))
            else:
                file.write(_header_bytes(row.segment, row.vector_dim, row.vector_dtype))
            file.seek(row.byte_size)
            file.write(rows.data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        if not row.row_count:
            sync_folder(path.parent)


class SegmentMap:
    """The committed rows of one segment, mapped read-only.

    Attributes:
        row: the catalog's description at the time of mapping.
        path: the file.
        rows: read-only array of shape (rows, bytes of a row) over the map.
        vectors: the token vectors in it, shape (rows, dimension).
        scales: the scales of int8 codes, one a row; None for other element types.
        checked: for each row, whether the document that starts there matched its checksum in this process.
    """

    def __init__(self, folder: Path, row: SegmentRow, known: SegmentMap | None) -> None:
        """Map a segment; raises FileNotFoundError where a compaction has removed it."""
        self.row = row
        self.path = segment_path(folder, row.segment)
        with self.path.open("rb") as file:
            row.check_file(self.path, os.fstat(file.fileno()).st_size, file.read(HEADER_BYTES))
            mapped = np.memmap(file, np.uint8, "r", HEADER_BYTES, (row.row_count, row.row_bytes))
        self.rows: StoredRows = np.asarray(mapped).view(np.ndarray)
        self.vectors, self.scales = row.layout.views(self.rows)
        self.checked = np.zeros(row.row_count, dtype=np.bool_)
        if known is not None:
            common = min(row.row_count, len(known.checked))  # a reader may hold an older snapshot than the last one
            self.checked[:common] = known.checked[:common]

    def crc(self, start: int, stop: int) -> int:
        """Return the checksum of the rows from `start` to `stop`."""
        return zlib.crc32(self.rows[start:stop].data)


class SegmentMaps:
    """The segments that one store object has mapped, shared by its indexes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._maps: dict[int, SegmentMap] = {}
        self._lock = threading.Lock()

    def open(self, rows: Sequence[SegmentRow]) -> dict[int, SegmentMap]:
        """Map the given segments and forget all others (indexes over those keep them alive).

        Raises:
            FileNotFoundError: a segment is gone.
            StoreCorruptError: a segment is not what the catalog says.
            StorePathError: a segment cannot be read.
        """
        with self._lock:
            maps = {}
            for row in rows:
                known = self._maps.get(row.segment)
                maps[row.segment] = known if known is not None and known.row == row else self._map(row, known)
            self._maps = maps
        return maps

    def _map(self, row: SegmentRow, known: SegmentMap | None) -> SegmentMap:
        try:
            return SegmentMap(self._folder, row, known)
        except FileNotFoundError:
            raise
        except OSError:
            with file_errors(segment_path(self._folder, row.segment), "read"):
                raise

    def clear(self) -> None:
        """Forget all maps."""
        with self._lock:
            self._maps = {}


@attrs.frozen(eq=False)
class ChecksumGuard:
    """Compares documents with their checksums before their vectors are first used in this process.

    Attributes:
        segment: where the vectors lie.
        starts: first rows of the block's documents.
        stops: the rows behind their last.
        live: numbers of the block's documents that are in the store; the others are holes.
        crcs: checksums, aligned with the block's documents.
        name: gives a document's id from its number in the block.
    """

    segment: SegmentMap
    starts: Int64Vector
    stops: Int64Vector
    live: Int64Vector
    crcs: Int64Vector
    name: _NamesDocument

    def __call__(self, positions: Int64Vector | None) -> None:
        """Check the given documents (None: all).

        Raises:
            StoreCorruptError: a document's vectors do not match their checksum.
        """
        asked = self.live if positions is None else positions
        checked = self.segment.checked
        for number in asked[~checked[self.starts[asked]]].tolist():
            if not self.matches(number):
                raise corrupt(
                    self.segment.path,
                    f"the vectors of document {self.name(number)!r} do not match their checksum",
                    "Restore the folder from a backup, or delete and upsert that document again; "
                    "`DirectoryLateStore.verify()` lists all that are affected.",
                )
            checked[self.starts[number]] = True

    def matches(self, number: int) -> bool:
        """Return whether one document matches its checksum, reading its vectors."""
        return self.segment.crc(int(self.starts[number]), int(self.stops[number])) == int(self.crcs[number])
