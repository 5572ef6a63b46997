"""The catalog's tables, its one row of totals, and the checks that an opened file is such a catalog."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import attrs

from kayak.builtin.directory.faults import corrupt
from kayak.errors import StorePathError, StoreVersionError
from kayak.values.element_types import INT8

FORMAT_VERSION = 2
"""The newest format. Version 2 is version 1 with int8 vectors, so that a kayak which does not know these says so."""

APPLICATION_ID = 0x4B61796B  # "Kayk"
SUM_MODULUS = 1 << 62
"""Running checksums are sums of row checksums modulo this, so that an upsert updates them without a scan."""


def format_version(vector_dtype: str) -> int:
    """Return the format of stores that keep an element type: the oldest that can, so that most kayaks read them."""
    return 2 if vector_dtype == INT8 else 1


_TABLES = {
    "contents": """CREATE TABLE contents (
    ordinal INTEGER PRIMARY KEY,
    text TEXT,
    metadata TEXT NOT NULL
)""",
    "documents": """CREATE TABLE documents (
    ordinal INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    location BLOB NOT NULL,
    row_crc INTEGER NOT NULL
)""",
    "filter_keys": """CREATE TABLE filter_keys (
    key_id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    value_count INTEGER NOT NULL,
    values_sum INTEGER NOT NULL,
    row_crc INTEGER NOT NULL
)""",
    "filter_values": """CREATE TABLE filter_values (
    key_id INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    value NOT NULL,
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (key_id, tag, value, ordinal)
) WITHOUT ROWID""",
    "meta": """CREATE TABLE meta (
    id INTEGER PRIMARY KEY,
    format_version,
    created_by,
    vector_dtype,
    vector_dim,
    generation,
    encoder_fingerprint,
    next_ordinal,
    next_segment,
    document_count,
    vector_count,
    text_count,
    metadata_count,
    documents_sum,
    segments_sum,
    keys_sum,
    row_crc
)""",
    "segments": """CREATE TABLE segments (
    segment INTEGER PRIMARY KEY,
    vector_dim INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    row_crc INTEGER NOT NULL
)""",
}

ARTIFACTS_TABLE = """CREATE TABLE artifacts (
    name TEXT NOT NULL,
    place INTEGER NOT NULL,
    file TEXT NOT NULL,
    byte_size INTEGER NOT NULL,
    header_crc INTEGER NOT NULL,
    row_crc INTEGER NOT NULL,
    PRIMARY KEY (name, place)
)"""
"""Made with the first artifact."""


@attrs.frozen
class Meta:
    """What holds for the whole store, changed by every write in the same transaction as the rows it describes.

    Attributes:
        format_version: version of the folder's format.
        created_by: the kayak version that created the folder.
        vector_dtype: stored element type, "float32", "float16" or "int8".
        vector_dim: dimension of the vectors; None while the store is empty.
        generation: number of committed writes.
        encoder_fingerprint: what encoded the corpus, or None.
        next_ordinal: the ordinal that the next new document gets.
        next_segment: the number that the next new segment gets; numbers are never used again.
        document_count: documents.
        vector_count: their token vectors.
        text_count: documents that have a text.
        metadata_count: documents that have metadata.
        documents_sum: running checksum of the rows of `documents`.
        segments_sum: running checksum of the rows of `segments`.
        keys_sum: running checksum of the rows of `filter_keys`.
    """

    format_version: int
    created_by: str
    vector_dtype: str
    vector_dim: int | None = None
    generation: int = 0
    encoder_fingerprint: str | None = None
    next_ordinal: int = 0
    next_segment: int = 1
    document_count: int = 0
    vector_count: int = 0
    text_count: int = 0
    metadata_count: int = 0
    documents_sum: int = 0
    segments_sum: int = 0
    keys_sum: int = 0

    def crc(self) -> int:
        """Return the checksum of all values."""
        return zlib.crc32(repr(attrs.astuple(self)).encode())


_SELECT_META = """
SELECT format_version, created_by, vector_dtype, vector_dim, generation, encoder_fingerprint, next_ordinal,
    next_segment, document_count, vector_count, text_count, metadata_count, documents_sum, segments_sum, keys_sum,
    row_crc
FROM meta
"""
_REPLACE_META = "INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def write_schema(connection: sqlite3.Connection, meta: Meta) -> None:
    """Create the tables in an empty database."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {meta.format_version}")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.values():
        connection.execute(statement)
    write_meta(connection, meta)
    connection.execute("COMMIT")


def check_schema(connection: sqlite3.Connection, catalog: Path) -> None:
    """Require a catalog of the format that this version reads.

    Raises:
        StorePathError: an SQLite database of another application.
        StoreVersionError: a newer format.
        StoreCorruptError: the tables are not those that were created.
    """
    tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        if "meta" in tables and "documents" in tables:
            raise corrupt(catalog, f"its application id is {application:#x} instead of {APPLICATION_ID:#x}")
        raise StorePathError(f"{catalog} is an SQLite database, but not a kayak store; choose another path")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT_VERSION:
        raise StoreVersionError(
            f"{catalog.parent} has store format {version}, written by kayak {_writer(connection)}; this version reads "
            f"formats up to {FORMAT_VERSION}. Upgrade with `pip install --upgrade kayak-core`."
        )
    if version < 1 or {"artifacts": ARTIFACTS_TABLE, **tables} != {
        "artifacts": ARTIFACTS_TABLE,
        **_TABLES,
    }:
        raise corrupt(catalog, "its tables are not those of a kayak store")
    if read_meta(connection, catalog).format_version != version:
        raise corrupt(catalog, f"its format is {version}, but its table `meta` says otherwise")


def _writer(connection: sqlite3.Connection) -> str:
    """Return the version that created a catalog of another format, if it still says so in the same place."""
    try:
        row = connection.execute("SELECT created_by FROM meta").fetchone()
    except sqlite3.Error:
        row = None
    return str(row[0]) if row else "of a later version"


def read_meta(connection: sqlite3.Connection, catalog: Path) -> Meta:
    """Read the totals and check them.

    Raises:
        StoreCorruptError: they are missing or altered.
    """
    rows = connection.execute(_SELECT_META).fetchall()
    if len(rows) != 1:
        raise corrupt(catalog, f"its table `meta` has {len(rows)} rows instead of 1")
    meta = Meta(*rows[0][:-1])
    if meta.crc() != rows[0][-1]:
        raise corrupt(catalog, "its table `meta` does not match its checksum")
    return meta


def write_meta(connection: sqlite3.Connection, meta: Meta) -> None:
    """Store the totals with their checksum."""
    connection.execute(_REPLACE_META, (*attrs.astuple(meta), meta.crc()))
