"""The directory store's filters, run in SQL, agree with the evaluator that defines the language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak.errors import EmptySelectionError

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, 0.5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), float(2**63),
    1e308, -1e308, 5e-324, "", "a", "b", "ab", "A", "é", "a\0b", "a\0c", "\uffff", "😀", "1", "true", [], [1], [1.0],
    [True], [None, "a"], {}, {"a": 1}, {"a": 1.0}, {"a": True}, {"b": [{}]},
]  # fmt: skip
KEYS = ["a", "b", "a.b", "", "ü"]
ORDERED = [value for value in VALUES if type(value) in (int, float, str)]

values = st.sampled_from(VALUES)
rows = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
conditions = st.one_of(
    st.fixed_dictionaries({"$eq": values}),
    st.fixed_dictionaries({"$ne": values}),
    st.fixed_dictionaries({"$in": st.lists(values, max_size=4)}),
    st.fixed_dictionaries({"$nin": st.lists(values, max_size=4)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    *(st.fixed_dictionaries({op: st.sampled_from(ORDERED)}) for op in ("$gt", "$gte", "$lt", "$lte")),
)
leaves = st.dictionaries(st.sampled_from(KEYS), conditions, max_size=2)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=6,
)


def upsert(store: kayak.LateStore, rows: list[dict[str, Any]]) -> None:
    vectors = np.arange(len(rows), dtype=np.float32).reshape(-1, 1, 1)
    store.upsert(kayak.documents([f"d{i}" for i in range(len(rows))], vectors), metadata=rows)


def selected(store: kayak.LateStore, where: dict[str, Any]) -> tuple[str, ...]:
    try:
        return store.load_index(where=where).doc_ids
    except EmptySelectionError:
        return ()


def matching(rows: list[dict[str, Any]], where: dict[str, Any]) -> tuple[str, ...]:
    tree = kayak.parse_where(where)
    assert tree is not None
    return tuple(f"d{i}" for i, row in enumerate(rows) if tree.matches(row))


EVERY_VALUE = [{}, *({"a": value} for value in VALUES)]


@pytest.fixture(scope="module")
def every_value(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kayak.DirectoryLateStore]:
    with kayak.DirectoryLateStore(tmp_path_factory.mktemp("filters") / "s") as store:
        upsert(store, EVERY_VALUE)
        yield store


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte"])
def test_every_value_against_every_value(every_value: kayak.DirectoryLateStore, operator: str) -> None:
    for operand in ORDERED if operator in ("$gt", "$gte", "$lt", "$lte") else VALUES:
        where = {"a": {operator: [operand] if operator in ("$in", "$nin") else operand}}
        assert selected(every_value, where) == matching(EVERY_VALUE, where), where


def test_lists_of_mixed_types(every_value: kayak.DirectoryLateStore) -> None:
    for where in ({"a": {"$in": VALUES}}, {"a": {"$nin": VALUES[::2]}}, {"a": {"$in": VALUES[1::3]}}):
        assert selected(every_value, where) == matching(EVERY_VALUE, where)


@pytest.fixture(scope="module")
def any_rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kayak.DirectoryLateStore]:
    with kayak.DirectoryLateStore(tmp_path_factory.mktemp("any") / "s") as store:
        yield store


@given(rows=st.lists(rows, min_size=10, max_size=10), wheres=st.lists(filters, min_size=1, max_size=6))
def test_any_filter_over_any_rows(
    any_rows: kayak.DirectoryLateStore, rows: list[dict[str, Any]], wheres: list[dict[str, Any]]
) -> None:
    upsert(any_rows, rows)  # replaces the rows of the example before, of which nothing may stay behind
    for where in wheres:
        assert selected(any_rows, where) == matching(rows, where)


def test_large_filters(tmp_path: Path) -> None:
    rows = [{"n": i, "s": f"v{i}", "l": [i % 10]} for i in range(400)]
    deep: dict[str, Any] = {"n": {"$lt": 7}}
    for level in range(31):
        deep = {"$not": deep} if level % 2 else {"$or": [deep, {"n": level * 10}]}
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        upsert(store, rows)
        wheres: list[dict[str, Any]] = [
            {"$and": [{"n": {"$ne": i}} for i in range(0, 3000, 2)]},
            {"$or": [{"s": f"v{i}"} for i in range(1, 3000, 3)]},
            {"s": {"$in": [f"v{i}" for i in range(0, 100_000, 5)]}},
            {"n": {"$nin": [*range(50, 100_000), 3.0, "x", None, [1]]}},
            {"l": {"$in": [[i] for i in range(3)]}},
            deep,
        ]
        for where in wheres:
            assert selected(store, where) == matching(rows, where)
        assert selected(store, {}) == matching(rows, {})


def test_filters_are_bound_and_never_spliced(tmp_path: Path) -> None:
    hostile = "'; DROP TABLE documents; --"
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        upsert(store, [{hostile: hostile}, {"k": "%"}])
        assert selected(store, {hostile: hostile}) == ("d0",)
        assert selected(store, {"k": "_"}) == ()
        assert selected(store, {"k": {"$gte": hostile}}) == ()
        store.verify()


def test_keys_without_documents_disappear(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        for number in range(50):
            upsert(store, [{f"key-{number}": number, "same": 1}])
        assert selected(store, {"key-3": {"$exists": True}}) == ()
        assert selected(store, {"key-49": 49, "same": 1}) == ("d0",)
        store.delete(["d0"])
        upsert(store, [{"same": 2}])
        assert selected(store, {"same": 2}) == ("d0",)
        store.verify()


@attrs.frozen
class LongRow(kayak.Where):
    """A kind of filter that only its own `matches` knows."""

    length: int

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return len(metadata) >= self.length

    def operators(self) -> frozenset[str]:
        return frozenset({"$long"})

    def keys(self) -> frozenset[str]:
        return frozenset()

    def to_dict(self) -> dict[str, Any]:
        return {"$long": self.length}

    def depth(self) -> int:
        return 1


def test_a_filter_of_another_kind_is_evaluated_by_itself(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": 1, "b": 2}, {}, {"a": 3, "b": 4}]
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        upsert(store, rows)
        tree = kayak.And((LongRow(2), kayak.Not(kayak.Comparison("a", "$eq", 3))))
        assert store.load_index(where=tree).doc_ids == ("d1",)  # type: ignore[arg-type]  # a parsed tree works too
