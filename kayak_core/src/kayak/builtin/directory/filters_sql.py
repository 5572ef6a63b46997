"""`where` filters over the catalog: each comparison is one indexed query, their results are combined as sets.

Combining in NumPy rather than in one statement keeps filters of any size within SQLite's limits on expression depth
and bound values. Comparisons with lists and objects, which SQL has no values for, narrow the documents down by
type in SQL and compare the few that are left in the client.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from kayak.builtin.directory.contents import read_contents
from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.rows import (
    OTHER_TAG,
    filter_value,
    filter_value_crc,
    key_crc,
    parse_metadata,
    running_sum,
    select_in,
)
from kayak.builtin.directory.snapshot import Snapshot
from kayak.contracts.where import And, Comparison, Not, Or, Where
from kayak.typing import Int64Vector

_SQL_OPERATORS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_SELECT = "SELECT ordinal FROM filter_values WHERE key_id = ?"


class FilterIndexChecks:
    """Remembers which parts of the filter index this store object has verified.

    The tree is checked once, and the values of each key once, before they are first relied on: a damaged page
    could otherwise hide documents.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tree_is_checked = False
        self._keys: set[int] = set()

    def require(self, connection: sqlite3.Connection, catalog: Path, key: FilterKey) -> None:
        """Verify what a filter on `key` relies on.

        Raises:
            StoreCorruptError: the index is damaged.
        """
        with self._lock:
            if not self._tree_is_checked:
                check_tree(connection, catalog, "filter_values")
                self._tree_is_checked = True
            if key.key_id not in self._keys:
                check_key(connection, catalog, key)
                self._keys.add(key.key_id)


@attrs.frozen
class FilterKey:
    """One row of `filter_keys`: how many documents have the key, and the checksum of their values."""

    key_id: int
    key: str
    value_count: int
    values_sum: int


def check_tree(connection: sqlite3.Connection, catalog: Path, table: str) -> None:
    """Check the structure and order of one table's trees.

    Raises:
        StoreCorruptError: they are damaged.
    """
    report = connection.execute(f"PRAGMA integrity_check('{table}')").fetchone()[0]
    if report != "ok":
        raise corrupt(catalog, str(report))


def check_key(connection: sqlite3.Connection, catalog: Path, key: FilterKey) -> None:
    """Check that the values of one key are those that were written.

    Raises:
        StoreCorruptError: values are missing or altered.
    """
    count = total = 0
    try:
        for row in connection.execute(
            "SELECT tag, value, ordinal FROM filter_values WHERE key_id = ? LIMIT ?", (key.key_id, key.value_count + 1)
        ):
            total += filter_value_crc(*row)
            count += 1
    except (TypeError, struct.error):  # a damaged record gives values of other types
        count = -1
    if count != key.value_count or running_sum(total) != key.values_sum:
        raise corrupt(catalog, f"the filter index of metadata key {key.key!r} does not match its checksum")


def read_keys(connection: sqlite3.Connection, snapshot: Snapshot, catalog: Path) -> dict[str, FilterKey]:
    """Read and check the metadata keys that documents have.

    Raises:
        StoreCorruptError: a row is missing or altered.
    """
    rows = connection.execute("SELECT key_id, key, value_count, values_sum, row_crc FROM filter_keys").fetchall()
    intact = all(
        isinstance(row[1], str) and all(type(row[i]) is int for i in (0, 2, 3, 4)) and key_crc(*row[:4]) == row[4]
        for row in rows
    )
    keys = {row[1]: FilterKey(*row[:4]) for row in rows}
    total = running_sum(0, (row[4] for row in rows)) if intact else -1
    if total != snapshot.meta.keys_sum or len(keys) != len(rows):
        raise corrupt(catalog, "its table `filter_keys` does not match its checksum")
    return keys


class FilterQuery:
    """Evaluates one filter inside one read transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        snapshot: Snapshot,
        catalog: Path,
        checks: FilterIndexChecks,
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._catalog = catalog
        self._checks = checks
        self._keys = read_keys(connection, snapshot, catalog)

    def numbers(self, where: Where) -> Int64Vector:
        """Return the numbers of the snapshot's documents that match, ascending int64."""
        return np.flatnonzero(self._mask(where))

    def _mask(self, where: Where) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if isinstance(where, Not):
            return ~self._mask(where.clause)
        if isinstance(where, And):
            mask = np.ones(len(self._snapshot.ids), dtype=np.bool_)
            for clause in where.clauses:
                mask &= self._mask(clause)
            return mask
        if not isinstance(where, (Or, Comparison)):  # a kind of filter that this store does not know
            contents = read_contents(self._connection, self._snapshot, None, self._catalog)
            return np.array([where.matches(parse_metadata(metadata)) for _, metadata in contents], dtype=np.bool_)
        mask = np.zeros(len(self._snapshot.ids), dtype=np.bool_)
        if isinstance(where, Or):
            for clause in where.clauses:
                mask |= self._mask(clause)
            return mask
        key = self._keys.get(where.key)
        if key is not None:
            self._checks.require(self._connection, self._catalog, key)
            for numbers in self._comparison(key.key_id, where):
                mask[numbers] = True
        return ~mask if where.operator == "$exists" and where.value is False else mask

    def _comparison(self, key_id: int, where: Comparison) -> Iterable[Int64Vector]:
        """Yield document numbers for a comparison; for `$exists`, of those that have the key."""
        operand = where.value
        if where.operator == "$exists":
            yield self._rows(_SELECT, key_id)
        elif where.operator in _SQL_OPERATORS:
            tag, value = filter_value(operand)
            statement = f"{_SELECT} AND tag = ? AND value {_SQL_OPERATORS[where.operator]} ?"
            yield self._rows(statement, key_id, tag, value)
        else:
            yield from self._equal(key_id, where, operand if where.operator == "$in" else [operand])

    def _equal(self, key_id: int, where: Comparison, operands: Sequence[Any]) -> Iterable[Int64Vector]:
        by_tag: dict[int, list[Any]] = {}
        for operand in operands:
            tag, value = filter_value(operand)
            by_tag.setdefault(tag, []).append(value)
        compound = by_tag.pop(OTHER_TAG, None)
        for tag, values in by_tag.items():
            yield self._in(f"{_SELECT} AND tag = ? AND value IN", values, key_id, tag)
        if compound:
            numbers = self._rows(f"{_SELECT} AND tag = ?", key_id, OTHER_TAG)
            contents = read_contents(self._connection, self._snapshot, numbers, self._catalog)
            yield numbers[[where.matches(parse_metadata(metadata)) for _, metadata in contents]]

    def _rows(self, statement: str, *values: Any) -> Int64Vector:
        return self._to_numbers(self._connection.execute(statement, values))

    def _in(self, statement: str, values: Sequence[Any], *before: Any) -> Int64Vector:
        return self._to_numbers(select_in(self._connection, statement, values, *before))

    def _to_numbers(self, rows: Iterable[tuple[Any, ...]]) -> Int64Vector:
        ordinals = np.fromiter((row[0] for row in rows), dtype=np.int64)
        numbers = np.searchsorted(self._snapshot.ordinals, ordinals)
        known = self._snapshot.ordinals
        if len(ordinals) and (numbers.max() >= len(known) or (known[numbers] != ordinals).any()):
            raise corrupt(self._catalog, "its filter index names documents that do not exist")
        return numbers
