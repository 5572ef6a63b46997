"""The catalog's rows: their checksums, and the values by which a document can be filtered."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from kayak.builtin.directory.schema import SUM_MODULUS

CHUNK = 500
"""Values bound by one statement; every SQLite build allows 999."""

NULL_TAG, BOOL_TAG, NUMBER_TAG, STRING_TAG, OTHER_TAG = range(5)

LOCATION = np.dtype([(name, "<i8") for name in ("segment", "first_row", "vector_count", "vectors_crc", "contents_crc")])
"""What `documents.location` holds, so that the locations of all documents are read as one array."""

SqlDocument: TypeAlias = tuple[int, str, bytes, int]
"""A row of `documents`: ordinal, id, location, checksum of the three."""

_location = struct.Struct("<5q")
_pack_segment = struct.Struct("<3q").pack
_pack_key = struct.Struct("<3q").pack
_pack_int = struct.Struct("<q").pack
_pack_float = struct.Struct("<d").pack


class DocumentRow(NamedTuple):
    """One row of `documents`: where a document's vectors lie, and the checksums of all that belongs to it."""

    ordinal: int
    id: str
    segment: int
    first_row: int
    vector_count: int
    vectors_crc: int
    contents_crc: int

    @classmethod
    def from_sql(cls, row: SqlDocument) -> DocumentRow:
        """Return the row whose checksum was verified."""
        return cls(row[0], row[1], *_location.unpack(row[2]))

    def to_sql(self) -> SqlDocument:
        """Return the values to insert, with their checksum."""
        location = _location.pack(*self[2:])
        return self.ordinal, self.id, location, _document_crc(self.ordinal, self.id, location)

    @property
    def row_crc(self) -> int:
        """The checksum of the row."""
        return self.to_sql()[3]


SELECT_DOCUMENTS = "SELECT ordinal, id, location, row_crc FROM documents"
INSERT_DOCUMENT = """
INSERT INTO documents VALUES (?, ?, ?, ?)
ON CONFLICT (ordinal) DO UPDATE SET id = excluded.id, location = excluded.location, row_crc = excluded.row_crc
"""
"""Replaces a document in its place; a repeated id under another ordinal is an error."""


def _document_crc(ordinal: int, doc_id: str, location: bytes) -> int:
    return zlib.crc32(location, zlib.crc32(doc_id.encode(), ordinal & 0xFFFFFFFF))


def documents_are_intact(rows: Sequence[SqlDocument]) -> bool:
    """Return whether every row of `documents` has the types and the checksum that it was written with."""
    crc32 = zlib.crc32
    try:  # a list comprehension with local names: it runs over all documents of a store
        crcs = [crc32(location, crc32(doc_id.encode(), ordinal & 0xFFFFFFFF)) for ordinal, doc_id, location, _ in rows]
    except (TypeError, AttributeError):  # a damaged record gives values of other types
        return False
    return crcs == [row[3] for row in rows]


def scan_documents(
    connection: sqlite3.Connection, limit: int
) -> tuple[list[int], list[str], list[bytes], list[int]] | None:
    """Return ordinals, ids, locations and checksums of all documents by ordinal; None if a row is altered.

    One loop that keeps no row: hundreds of thousands of tuples would set off the garbage collector again and again.
    """
    crc32 = zlib.crc32
    ordinals: list[int] = []
    ids: list[str] = []
    locations: list[bytes] = []
    crcs: list[int] = []
    try:
        for ordinal, doc_id, location, crc in connection.execute(
            f"{SELECT_DOCUMENTS} ORDER BY ordinal LIMIT ?", (limit,)
        ):
            if crc32(location, crc32(doc_id.encode(), ordinal & 0xFFFFFFFF)) != crc:
                return None
            ordinals.append(ordinal)
            ids.append(doc_id)
            locations.append(location)
            crcs.append(crc)
    except (TypeError, AttributeError):  # a damaged record gives values of other types
        return None
    return ordinals, ids, locations, crcs


def contents_crc(text: str | None, metadata: str) -> int:
    """Return the checksum of a document's text and metadata; no text differs from an empty one."""
    return zlib.crc32(metadata.encode(), 0 if text is None else zlib.crc32(text.encode(), 1))


def contents_are_intact(text: Any, metadata: Any, crc: int) -> bool:
    """Return whether a text and a metadata row, as read from the catalog, match their checksum."""
    return (text is None or isinstance(text, str)) and isinstance(metadata, str) and contents_crc(text, metadata) == crc


def segment_crc(segment: int, vector_dim: int, row_count: int) -> int:
    """Return the checksum of one row of `segments`."""
    return zlib.crc32(_pack_segment(segment, vector_dim, row_count))


def key_crc(key_id: int, key: str, value_count: int, values_sum: int) -> int:
    """Return the checksum of one row of `filter_keys`."""
    return zlib.crc32(_pack_key(key_id, value_count, values_sum), zlib.crc32(key.encode()))


def filter_value(value: Any) -> tuple[int, Any]:
    """Return the type tag and the SQL value under which a metadata value is found.

    Lists and objects have no SQL value: they are found by their tag and compared in the client.
    """
    if value is None:
        return NULL_TAG, 0
    if isinstance(value, bool):
        return BOOL_TAG, int(value)
    if isinstance(value, float):
        return NUMBER_TAG, value + 0.0  # -0.0 becomes 0.0, as SQLite may store it
    if isinstance(value, int):
        return NUMBER_TAG, value
    if isinstance(value, str):
        return STRING_TAG, value
    return OTHER_TAG, 0


def filter_value_crc(tag: int, value: Any, ordinal: int) -> int:
    """Return the checksum of one row of `filter_values` among those of its key."""
    if isinstance(value, str):
        data = value.encode()
    else:
        data = _pack_float(value) if isinstance(value, float) else _pack_int(value)
    return zlib.crc32(data, (ordinal * 8 + tag) & 0xFFFFFFFF)


def running_sum(total: int, added: Iterable[int] = (), removed: Iterable[int] = ()) -> int:
    """Return a running checksum after rows were added and removed."""
    return (total + sum(added) - sum(removed)) % SUM_MODULUS


def parse_metadata(metadata: str) -> dict[str, Any]:
    """Return a metadata row whose checksum was verified, so that it is what `metadata_json` wrote."""
    row: dict[str, Any] = json.loads(metadata)
    return row


def select_in(
    connection: sqlite3.Connection, statement: str, values: Sequence[Any], *before: Any
) -> Iterator[tuple[Any, ...]]:
    """Run a statement that ends in `IN` for any number of values, a chunk at a time."""
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        yield from connection.execute(f"{statement} ({', '.join('?' * len(chunk))})", (*before, *chunk)).fetchall()


def has_entries(metadata: Mapping[str, Any] | str) -> bool:
    """Return whether a metadata row, or its JSON text, has any key."""
    return bool(metadata) and metadata != "{}"
