"""Filters run inside LanceDB and mean what `Where.matches` says, whatever keys and values hold."""

from __future__ import annotations

import math

import kayak
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kayak.testing.strategies import doc_ids, metadata_rows, where_filters
from kayak_lancedb.filters import MAX_PUSHED_COMPARISONS, split_filter
from kayak_lancedb.store import LanceDBLateStore

quick = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
HOSTILE = (
    *("'", "''", "\\", "\\'", "'\\", "\\\\'", "' OR 1=1 --", "'; DROP TABLE documents; --", '"', "`", "$1", ":x", "?"),
    *("/*", "--", "\x00", "\x00'", "\n", "\\n", "\\u0041", "%", "_", "\ufeff", "\U0001f600", "X'41'", "é", "e\u0301"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with LanceDBLateStore(path=tmp_path_factory.mktemp("filters")) as store:
        yield store


def fill(store, rows):
    known = [doc_id for batch in store.documents() for doc_id in batch.doc_ids]
    store.delete(known)
    ids = [f"{number}" for number in range(len(rows))]
    store.upsert(kayak.documents(ids, np.ones((len(rows), 1, 2), np.float32)), metadata=rows)


def pushed_ids(store, where):
    """Return what LanceDB itself selects, without the check that the client adds for what is left."""
    return {doc_id for doc_id, _ in store.read_metadata(kayak.StoreSelection(None, where))}


def assert_pushed_exactly(store, rows, where):
    condition = kayak.parse_where(where)
    pushed, rest = store.split_filter(condition)
    for row in rows:
        parts = [part.matches(row) for part in (pushed, rest) if part is not None]
        assert all(parts) is condition.matches(row)
    expected = {str(number) for number, row in enumerate(rows) if pushed is None or pushed.matches(row)}
    assert pushed_ids(store, pushed) == expected, pushed


def test_random_filters_are_evaluated_exactly_by_the_database(store):
    @quick
    @given(st.lists(metadata_rows(), min_size=1, max_size=8), st.lists(where_filters(), min_size=1, max_size=5))
    def check(rows, filters):
        fill(store, rows)
        for where in filters:
            assert_pushed_exactly(store, rows, where)

    check()


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0, -0.0, 0.0, 5e-324, -5e-324, 2.0**63]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(
        lambda n, step: math.nextafter(float(n), step),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from([-1e308, 1e308]),
    ),
)


def test_numbers_of_any_size_compare_exactly(store):
    @quick
    @given(st.lists(NUMBERS, min_size=1, max_size=5))
    @example([2.0**53, 2**53 + 1, 2.0**53 + 2, 2**53 + 3, 2.0**53 + 4])  # integers between neighbouring floats
    @example([-(2.0**53), -(2**53) - 1, -(2.0**53) - 2, -(2**53) - 3, -(2.0**53) - 4])
    @example([0.0, -0.0, 0, 5e-324, -5e-324])
    @example([2**63 - 1, 2.0**63, -(2**63), -(2.0**63), 1e300, -1e300])
    @example([2**63 - 2, -(2**63) + 1])
    def check(numbers):
        rows = [{"n": number} for number in numbers]
        fill(store, rows)
        for operand in numbers:
            for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
                assert_pushed_exactly(store, rows, {"n": {operator: operand}})
        assert_pushed_exactly(store, rows, {"n": {"$in": numbers}})

    check()


def test_strings_compare_by_code_points(store):
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)

    @quick
    @given(st.lists(st.one_of(texts, st.sampled_from(HOSTILE)), min_size=1, max_size=5))
    def check(strings):
        rows = [{"s": text} for text in strings]
        fill(store, rows)
        for operand in strings:
            for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
                assert_pushed_exactly(store, rows, {"s": {operator: operand}})

    check()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_keys_and_values_are_data(store, text):
    rows = [{text: text}, {"other": text}, {text: "other"}, {}] if not text.startswith("$") else [{"k": text}, {}]
    key = text if not text.startswith("$") else "k"
    fill(store, rows)
    assert pushed_ids(store, kayak.parse_where({key: text})) == {"0"}
    assert_pushed_exactly(store, rows, {key: {"$ne": text}})
    assert_pushed_exactly(store, rows, {key: {"$exists": True}})
    assert_pushed_exactly(store, rows, {key: {"$in": [text, "'"]}})


def test_hostile_ids_select_and_delete_themselves_only(store):
    fill(store, [{}])
    store.delete(["0"])
    store.upsert(kayak.documents(["the one that stays"], [[[1.0, 1.0]]]))

    @quick
    @given(st.lists(st.one_of(st.sampled_from(HOSTILE), doc_ids()), min_size=2, max_size=8, unique=True))
    def check(ids):
        store.upsert(kayak.documents(ids, np.ones((len(ids), 1, 2), np.float32)))
        first, *others = ids
        assert store.load_index(doc_ids=[first]).doc_ids == (first,)
        store.delete([first])
        assert set(store.load_index(doc_ids=ids).doc_ids) == set(others)
        store.delete(others)
        assert store.load_index().doc_ids == ("the one that stays",)

    check()


def test_lists_and_objects_are_left_to_the_client():
    where = {"year": {"$gte": 1960}, "tags": {"$eq": ["a"]}, "x": {"$in": [1, [2]]}}
    pushed, rest = split_filter(kayak.parse_where(where))
    assert pushed == kayak.parse_where({"year": {"$gte": 1960}})
    assert rest == kayak.parse_where({"tags": {"$eq": ["a"]}, "x": {"$in": [1, [2]]}})


def test_long_filters_are_left_to_the_client_and_deep_ones_are_not(store):
    rows = [{"n": number} for number in range(5)]
    fill(store, rows)
    long = {"$or": [{"n": number} for number in range(3, MAX_PUSHED_COMPARISONS + 4)]}
    assert split_filter(kayak.parse_where(long))[0] is None
    assert store.load_index(where=long).doc_ids == ("3", "4")
    just = {"$or": [{"n": number} for number in range(3, MAX_PUSHED_COMPARISONS + 3)]}
    assert_pushed_exactly(store, rows, just)
    deep = {"n": 1}
    for level in range(15):
        deep = {"$not": {"$or": [deep, {"n": level}]}}
    assert split_filter(kayak.parse_where(deep))[1] is None
    assert_pushed_exactly(store, rows, deep)


def test_any_number_of_values_in_one_comparison(store):
    rows = [{"n": number} for number in range(5)]
    fill(store, rows)
    values = [*range(3, 20_000), *(f"text {n}" for n in range(2_000))]
    assert pushed_ids(store, kayak.parse_where({"n": {"$in": values}})) == {"3", "4"}


def test_search_filters_before_it_ranks(store):
    fill(store, [{"n": number} for number in range(6)])
    store.upsert(kayak.documents(["best"], [[[9.0, 9.0]]]), metadata=[{"n": [1]}])
    query = kayak.query([[1.0, 1.0]])
    found = store.search_candidates(query, k=2, where={"n": {"$gte": 4}})
    assert found.candidate_doc_ids == ("4", "5")
    assert found.profile.notes == ()
    found = store.search_candidates(query, k=3, where={"n": {"$eq": [1]}})
    assert found.candidate_doc_ids == ("best",)
    assert "client" in found.profile.notes[0]
