"""Store checks: selections by id and by metadata mean what the in-memory evaluator says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kayak.contracts import LateStore, parse_where
from kayak.errors import EmptySelectionError, FilterError, InvalidInputError, InvalidTypeError, KayakError
from kayak.testing.rows import DIMENSION, Row, clear, ids_of, numbered_rows, stored, write
from kayak.testing.strategies import METADATA_KEYS, metadata_rows, where_filters
from kayak.testing.suite import ConformanceSuite

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, -1, 10, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 1.5, -1.5, 2.0**53, 1e300),
    *("", "0", "1", "true", "null", "a", "A", "b", "ab", "é", "e\u0301", "\uffff", "\U0001f600", "%", "'"),
    *([], [1], [1, 2], [None], ["a"], {}, {"x": 1}, {"x": None}, {"x": [1]}),
)
"""Metadata values that are easily confused with one another; every one is also used as an operand."""

ORDERED = tuple(value for value in VALUES if type(value) in (int, float, str))
OPERANDS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("$eq", "$ne"), VALUES),
    **dict.fromkeys(("$in", "$nin"), ([], [1], [True, "a"], [None, 1.5], ["1", 2**53], [[1], {"x": 1}])),
    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), ORDERED),
    "$exists": (True, False),
}
LOGICAL: tuple[dict[str, Any], ...] = (
    {},
    {"$and": []},
    {"$or": []},
    {"$not": {}},
    {"$not": {"$or": []}},
    {"$and": [{"key": {"$gte": 0}}, {"key": {"$lt": 2}}]},
    {"$or": [{"key": 1}, {"key": "a"}, {"other": {"$exists": True}}]},
    {"$not": {"key": {"$gt": 0}}},
    {"key": {"$not": {"$gt": 0}}},
    {"$not": {"$not": {"key": None}}},
    {"key": {"$gte": -1, "$ne": 1}, "other": {"$exists": False}},
    {"$and": [{"$or": [{"key": True}, {"key": 0}]}, {"$not": {"key": {"$in": [0.0]}}}]},
)
MALFORMED: tuple[Any, ...] = (
    ["key"],
    {"key": [1]},
    {"key": {"$near": 1}},
    {"$xor": []},
    {"$and": {"key": 1}},
    {"key": {"$gt": None}},
    {"key": {"$in": 1}},
    {"key": {"$exists": 1}},
    {1: 2},
)


class StoreSelection(ConformanceSuite):
    """`doc_ids` and `where`."""

    def test_doc_ids_give_the_order(self, store: LateStore) -> None:
        """`doc_ids` restricts an index to these documents and orders it; unknown ids select nothing."""
        _needs_subsets(store)
        write(store, numbered_rows(5))
        wanted = ["doc-3", "unknown", "doc-0", "doc-4"]
        assert store.load_index(doc_ids=wanted).doc_ids == ("doc-3", "doc-0", "doc-4")
        assert store.load_index(doc_ids=tuple(reversed(wanted))).doc_ids == ("doc-4", "doc-0", "doc-3")
        assert sorted(ids_of(stored(store, doc_ids=wanted))) == ["doc-0", "doc-3", "doc-4"]

    def test_malformed_doc_ids(self, store: LateStore) -> None:
        """One string instead of a list, an id twice, an empty id: refused rather than guessed."""
        _needs_subsets(store)
        write(store, numbered_rows(2))
        wrong: tuple[tuple[Any, type[KayakError]], ...] = (
            ("doc-0", InvalidTypeError),
            ([0], InvalidTypeError),
            (["doc-0", "doc-0"], InvalidInputError),
            ([""], InvalidInputError),
        )
        for ids, error in wrong:
            with pytest.raises(error):
                store.load_index(doc_ids=ids)
            with pytest.raises(error):
                list(store.documents(doc_ids=ids))

    def test_empty_selection(self, store: LateStore) -> None:
        """Loading a selection that matches nothing raises `EmptySelectionError`; exporting it yields nothing."""
        selections: list[dict[str, Any]] = [{}]
        for selection in selections:
            with pytest.raises(EmptySelectionError):
                store.load_index(**selection)
            assert stored(store, **selection) == []
        write(store, numbered_rows(2))
        offered = store.capabilities()
        selections = [{"doc_ids": []}, {"doc_ids": ["unknown"]}] * offered.supports_document_subset_load
        selections += [{"where": {"version": 9}}] * offered.supports_metadata_filter
        for selection in selections:
            with pytest.raises(EmptySelectionError):
                store.load_index(**selection)
            assert stored(store, **selection) == []

    @pytest.mark.parametrize("operator", sorted(OPERANDS))
    def test_filter_operator(self, store: LateStore, operator: str) -> None:
        """Each operator agrees with `Where.matches` for every pair of easily confused values and a missing key."""
        _needs_filters(store)
        rows = _rows([*({"key": value} for value in VALUES), {}, {"other": 1}])
        write(store, rows)
        for operand in OPERANDS[operator]:
            _assert_selects(store, rows, {"key": {operator: operand}})

    def test_filter_logic(self, store: LateStore) -> None:
        """`$and`, `$or`, `$not`, several conditions side by side and empty lists agree with `Where.matches`."""
        _needs_filters(store)
        rows = _rows([*({"key": value} for value in VALUES), {}, {"other": 1}])
        write(store, rows)
        for where in LOGICAL:
            _assert_selects(store, rows, where)

    def test_filter_keys_are_literal(self, store: LateStore) -> None:
        """Keys with dots, quotes, brackets, spaces and no letters at all are looked up literally."""
        _needs_filters(store)
        rows = _rows([{key: 1} for key in METADATA_KEYS] + [{"a": {"b": 1}}, {"a": [1]}])
        write(store, rows)
        for key in (*METADATA_KEYS, "a", "a[0]", "b", "unknown"):
            _assert_selects(store, rows, {key: 1})
            _assert_selects(store, rows, {key: {"$exists": False}})

    def test_random_filters(self, store: LateStore) -> None:
        """Random filters over random rows agree with `Where.matches`."""
        _needs_filters(store)

        @self.settings()
        @given(st.lists(metadata_rows(), min_size=1, max_size=6), st.lists(where_filters(), min_size=1, max_size=4))
        def check(metadata: list[dict[str, Any]], filters: list[dict[str, Any]]) -> None:
            clear(store)
            rows = _rows(metadata)
            write(store, rows)
            for where in filters:
                _assert_selects(store, rows, where)

        check()

    def test_filter_and_doc_ids_together(self, store: LateStore) -> None:
        """With both, a document must satisfy both; `doc_ids` still gives the order."""
        _needs_filters(store)
        _needs_subsets(store)
        write(store, numbered_rows(8))
        ids = ["doc-6", "doc-1", "doc-2", "doc-0", "unknown"]
        assert store.load_index(doc_ids=ids, where={"even": True}).doc_ids == ("doc-6", "doc-2", "doc-0")
        assert sorted(ids_of(stored(store, doc_ids=ids, where={"even": False}))) == ["doc-1"]

    def test_filter_sees_replaced_metadata(self, store: LateStore) -> None:
        """After a replacement or a deletion a filter sees the new metadata only."""
        _needs_filters(store)
        write(store, numbered_rows(4))
        write(store, numbered_rows(2, version=1))
        store.delete(["doc-3"])
        assert sorted(ids_of(stored(store, where={"version": 0}))) == ["doc-2"]
        assert sorted(ids_of(stored(store, where={"version": 1}))) == ["doc-0", "doc-1"]

    def test_malformed_filters(self, store: LateStore) -> None:
        """A malformed filter raises `FilterError`; it never selects everything or nothing."""
        _needs_filters(store)
        write(store, numbered_rows(2))
        for where in MALFORMED:
            with pytest.raises(FilterError):
                store.load_index(where=where)
            with pytest.raises(FilterError):
                list(store.documents(where=where))

    def test_undeclared_selections_are_refused(self, store: LateStore) -> None:
        """A store that declares no filters, or no loading of subsets, refuses them instead of ignoring them."""
        offered = store.capabilities()
        refused: list[dict[str, Any]] = [] if offered.supports_metadata_filter else [{"where": {"number": 0}}]
        refused += [] if offered.supports_document_subset_load else [{"doc_ids": ["doc-0"]}]
        if not refused:
            pytest.skip("the store declares filters and loading of subsets")
        write(store, numbered_rows(2))
        for selection in refused:
            with pytest.raises(KayakError):
                store.load_index(**selection)
            with pytest.raises(KayakError):
                list(store.documents(**selection))


def _needs_filters(store: LateStore) -> None:
    if not store.capabilities().supports_metadata_filter:
        pytest.skip("the store does not declare supports_metadata_filter")


def _needs_subsets(store: LateStore) -> None:
    if not store.capabilities().supports_document_subset_load:
        pytest.skip("the store does not declare supports_document_subset_load")


def _rows(metadata: list[dict[str, Any]]) -> list[Row]:
    vectors = np.ones((1, DIMENSION), dtype=np.float32)
    return [Row(f"{number}", vectors, None, row) for number, row in enumerate(metadata)]


def _assert_selects(store: LateStore, rows: list[Row], where: dict[str, Any]) -> None:
    condition = parse_where(where)
    expected = {row.doc_id: dict(row.metadata) for row in rows if condition is None or condition.matches(row.metadata)}
    found = {row.doc_id: dict(row.metadata) for row in stored(store, where=where)}
    missing = {doc_id: row for doc_id, row in expected.items() if doc_id not in found}
    extra = {doc_id: row for doc_id, row in found.items() if doc_id not in expected}
    assert not missing, f"where={where!r} does not select {missing}"
    assert not extra, f"where={where!r} selects {extra}"
    if expected:
        assert sorted(store.load_index(where=where).doc_ids) == sorted(expected)
