"""Filters: what Chroma evaluates is what `Where.matches` says, and what it cannot is left to the client."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import kayak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak_chromadb.filter_values import sortable
from kayak_chromadb.filters import chroma_where, split
from kayak_chromadb.plugin import open_chroma_store
from kayak_chromadb.store import ChromaLateStore

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, -2, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**62 + 1),
    *(0.0, -0.0, 0.1, 0.5, -0.5, 1.0, -1.5, 1.5, 2.0**53, 2.0**63, -(2.0**63), 1e300, -1e300, 5e-324),
    *(0.30000000000000004, 0.1 + 0.7, 1 / 3, -1 / 3, 123456789.12345678),
)
OTHERS: tuple[Any, ...] = (True, False, "", "1", "a", "A", "é", "e\u0301", "nul\x00", None, [], [1], {}, {"x": 1})
KEYS = (
    "plain",
    "",
    "#document",
    "#a",
    "chroma:document",
    "chroma:uri",
    "kayak:metadata",
    "kayak:int:plain",
    "a.b",
    " ",
)
ORDERINGS = ("$gt", "$gte", "$lt", "$lte")


def documents(count: int) -> kayak.LateDocuments:
    return kayak.documents([str(n) for n in range(count)], [np.eye(2, dtype=np.float32)] * count)


@pytest.fixture(scope="module")
def store() -> Iterator[ChromaLateStore]:
    with open_chroma_store(path=":memory:") as store:
        rows = [{"key": value} for value in (*NUMBERS, *OTHERS)] + [{}, {"other": 1}]
        store.upsert(documents(len(rows)), metadata=rows)
        yield store


def engine_ids(store: ChromaLateStore, where: dict[str, Any]) -> set[str]:
    """Ask Chroma itself, without the client's part."""
    pushed, rest = store.split_filter(kayak.parse_where(where))
    assert rest is None, f"{where} is not pushed down"
    return {doc_id for doc_id, _ in store.read_metadata(kayak.StoreSelection(where=pushed))}


def expected_ids(store: ChromaLateStore, where: dict[str, Any]) -> set[str]:
    condition = kayak.parse_where(where)
    return {doc_id for doc_id, row in store.read_metadata(kayak.StoreSelection()) if condition.matches(row)}


@pytest.mark.parametrize("operator", ["$eq", "$ne", *ORDERINGS])
@pytest.mark.parametrize("bound", NUMBERS, ids=repr)
def test_numbers_compare_exactly_inside_chroma(store: ChromaLateStore, operator: str, bound: float) -> None:
    where = {"key": {operator: bound}}
    assert engine_ids(store, where) == expected_ids(store, where)


@pytest.mark.parametrize("operator", ["$eq", "$ne"])
@pytest.mark.parametrize("operand", [True, False, "", "1", "a", "é", "nul\x00"], ids=repr)
def test_text_and_booleans_compare_exactly_inside_chroma(
    store: ChromaLateStore, operator: str, operand: object
) -> None:
    where = {"key": {operator: operand}}
    assert engine_ids(store, where) == expected_ids(store, where)


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from([v for v in (*NUMBERS, *OTHERS) if isinstance(v, (str, int, float))]), min_size=1),
    st.sampled_from(["$in", "$nin"]),
)
def test_mixed_lists_compare_exactly_inside_chroma(store: ChromaLateStore, operands: list[Any], operator: str) -> None:
    where = {"key": {operator: operands}}
    assert engine_ids(store, where) == expected_ids(store, where)


@settings(max_examples=150)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_sortable_integers_order_as_floats(first: float, second: float) -> None:
    assert (sortable(first) < sortable(second)) == (first < second)
    assert (sortable(first) == sortable(second)) == (first == second)
    assert -(2**63) <= sortable(first) < 2**63


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=8), st.sampled_from(["$eq", *ORDERINGS]))
def test_any_float_is_found_to_the_bit(raw: list[bytes], operator: str) -> None:
    floats = [value for (value,) in map(struct.Struct("<d").unpack, raw) if abs(value) < float("inf")]
    if not floats:
        return
    with open_chroma_store(path=":memory:") as store:
        store.upsert(documents(len(floats)), metadata=[{"key": value} for value in floats])
        where = {"key": {operator: floats[0]}}
        assert engine_ids(store, where) == expected_ids(store, where)


def test_hostile_keys_are_pushed_down_and_never_reach_chroma_s_own() -> None:
    with open_chroma_store(path=":memory:") as store:
        rows: list[dict[str, Any]] = [{key: value} for key in KEYS for value in ("text", 7, 7.5, True)]
        texts = [f"text {n}" for n in range(len(rows))]
        store.upsert(documents(len(rows)).with_texts(texts), metadata=rows)
        for key in KEYS:
            for operand in ("text", 7, 7.5, True):
                assert len(engine_ids(store, {key: operand})) == 1, (key, operand)
        exported = next(iter(store.documents(batch_size=len(rows))))
        assert exported.texts == tuple(texts)
        assert exported.metadata == tuple(rows)


@pytest.mark.parametrize(
    "where",
    [
        {"key": None},
        {"key": {"$eq": [1]}},
        {"key": {"$in": [1, None]}},
        {"key": {"$in": []}},
        {"key": {"$gt": "a"}},
        {"key": {"$exists": True}},
        {"key": {"$not": {"$gt": 1}}},
        {"$or": [{"key": 1}, {"key": {"$exists": False}}]},
        {"$not": {"$or": []}},
        {"key": {"$in": list(range(20_000))}},
        {"$or": [{"key": n} for n in range(400)]},
    ],
    ids=lambda where: repr(where)[:50],
)
def test_the_rest_is_evaluated_in_the_client(store: ChromaLateStore, where: dict[str, Any]) -> None:
    condition = kayak.parse_where(where)
    assert split(condition) == (None, condition)
    found = {doc_id for batch in store.documents(where=where) for doc_id in batch.doc_ids}
    assert found == expected_ids(store, where)


def test_a_conjunction_is_divided() -> None:
    where = kayak.parse_where({"year": {"$gte": 1960, "$exists": True}, "topic": "wings", "note": None})
    pushed, rest = split(where)
    assert pushed == kayak.parse_where({"$and": [{"year": {"$gte": 1960}}, {"topic": "wings"}]})
    assert rest == kayak.parse_where({"$and": [{"year": {"$exists": True}}, {"note": None}]})
    assert chroma_where(None) is None
    assert split(kayak.parse_where({})) == (None, None)


def test_a_long_conjunction_is_cut_where_chroma_s_limits_are() -> None:
    where = kayak.parse_where({"$and": [{"key": {"$ne": n}} for n in range(400)]})
    pushed, rest = split(where)
    assert pushed is not None
    assert rest is not None
    with open_chroma_store(path=":memory:") as store:
        store.upsert(documents(3), metadata=[{"key": 399}, {"key": 1}, {"key": 400}])
        assert store.load_index(where=where.to_dict()).doc_ids == ("2",)


def test_candidates_say_what_the_client_filtered(store: ChromaLateStore) -> None:
    found = store.search_candidates(kayak.query([[1.0, 0.0]]), k=3, where={"key": {"$gt": "0"}})
    assert {hit.doc_id for hit in found.hits} <= expected_ids(store, {"key": {"$gt": "0"}})
    assert any("client" in note for note in found.profile.notes)
    inside = store.search_candidates(kayak.query([[1.0, 0.0]]), k=3, where={"key": {"$gt": 0}})
    assert not any("client" in note for note in inside.profile.notes)
