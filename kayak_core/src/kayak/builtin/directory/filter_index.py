"""Writing the filter index: the values by which documents are found, with running checksums a key."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.rows import filter_value, filter_value_crc, key_crc, running_sum

_Rows: TypeAlias = Iterable[tuple[int, Mapping[str, Any]]]
"""(ordinal, metadata) of documents."""


@attrs.define
class _KeyTotals:
    key_id: int
    value_count: int = 0
    values_sum: int = 0
    before: int | None = None  # checksum of the stored row, None for a new key


class FilterIndexWriter:
    """Adds and removes filter values inside one write transaction."""

    def __init__(self, connection: sqlite3.Connection, catalog: Path) -> None:
        self._connection = connection
        self._catalog = catalog
        self._keys: dict[str, _KeyTotals] = {}

    def add(self, documents: _Rows) -> None:
        """Add the values of new documents."""
        rows = []
        for ordinal, metadata in documents:
            for key, value in metadata.items():
                totals = self._totals(key)
                tag, stored = filter_value(value)
                totals.value_count += 1
                totals.values_sum = running_sum(totals.values_sum, (filter_value_crc(tag, stored, ordinal),))
                rows.append((totals.key_id, tag, stored, ordinal))
        self._connection.executemany("INSERT INTO filter_values VALUES (?, ?, ?, ?)", rows)

    def remove(self, documents: _Rows) -> None:
        """Remove the values of documents that are replaced or deleted."""
        rows = []
        for ordinal, metadata in documents:
            for key, value in metadata.items():
                totals = self._totals(key)
                tag, stored = filter_value(value)
                totals.value_count -= 1
                totals.values_sum = running_sum(totals.values_sum, (), (filter_value_crc(tag, stored, ordinal),))
                rows.append((totals.key_id, tag, stored, ordinal))
        removed = self._connection.executemany(
            "DELETE FROM filter_values WHERE key_id = ? AND tag = ? AND value = ? AND ordinal = ?", rows
        ).rowcount
        if rows and removed != len(rows):
            raise corrupt(self._catalog, "its filter index lacks values of a document")

    def finish(self, keys_sum: int) -> int:
        """Write the keys' totals; return the new running checksum of all keys."""
        added = []
        removed = []
        for key, totals in self._keys.items():
            if totals.before is not None:
                removed.append(totals.before)
            if not totals.value_count:
                self._connection.execute("DELETE FROM filter_keys WHERE key_id = ?", (totals.key_id,))
                continue
            crc = key_crc(totals.key_id, key, totals.value_count, totals.values_sum)
            added.append(crc)
            self._connection.execute(
                "INSERT OR REPLACE INTO filter_keys VALUES (?, ?, ?, ?, ?)",
                (totals.key_id, key, totals.value_count, totals.values_sum, crc),
            )
        return running_sum(keys_sum, added, removed)

    def _totals(self, key: str) -> _KeyTotals:
        totals = self._keys.get(key)
        if totals is None:
            totals = self._keys[key] = self._read(key)
        return totals

    def _read(self, key: str) -> _KeyTotals:
        row = self._connection.execute(
            "SELECT key_id, key, value_count, values_sum, row_crc FROM filter_keys WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            last = self._connection.execute("SELECT max(key_id) FROM filter_keys").fetchone()[0] or 0
            taken = max((totals.key_id for totals in self._keys.values()), default=0)
            return _KeyTotals(max(last, taken) + 1)
        if not all(type(row[i]) is int for i in (0, 2, 3, 4)) or key_crc(*row[:4]) != row[4]:
            raise corrupt(self._catalog, f"the row of metadata key {key!r} does not match its checksum")
        return _KeyTotals(row[0], row[2], row[3], row[4])
