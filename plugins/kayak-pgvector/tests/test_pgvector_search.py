"""Filters and candidates inside PostgreSQL: what is asked of it, what it answers, and how it says so."""

from __future__ import annotations

import kayak
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kayak.testing.strategies import metadata_rows, where_filters
from psycopg import sql

VECTOR = np.ones((1, 4), np.float32)


def fill(store, rows):
    store.upsert(kayak.documents([f"{n}" for n in range(len(rows))], [VECTOR] * len(rows)), metadata=rows)


def matching(rows, where):
    condition = kayak.parse_where(where)
    return {f"{n}" for n, row in enumerate(rows) if condition.matches(row)}


def selected(store, where):
    return {doc_id for part in store.documents(where=where) for doc_id in part.doc_ids}


HOSTILE = [
    "nul\x00",
    "\x01",
    "\x01\x01",
    "\x00",
    "",
    "'; DROP TABLE documents; --",
    "%s %b %%",
    "$v",
    "\\",
    '"',
    "\uffff",
]


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
def test_hostile_values_and_keys(store, operator):
    rows = [{key: value} for key in HOSTILE if not key.startswith("$") for value in HOSTILE]
    fill(store, rows)
    for value in HOSTILE:
        for key in ("nul\x00", "\x01", "%s %b %%", "'; DROP TABLE documents; --"):
            where = {key: {operator: value}}
            assert selected(store, where) == matching(rows, where), where


def test_numbers_compare_exactly(store):
    numbers = [2**53, 2**53 + 1, 2.0**53, 2.0**62, 2**62 + 1, 2**62 - 1, 2**63 - 1, 2.0**63, -(2**63), -(2.0**63)]
    numbers += [0.1, 0.1 + 2**-55, 5e-324, -0.0, 0, 1e308, 1.7976931348623157e308, 1, True, 123456789.123456789]
    rows = [{"n": number} for number in numbers]
    fill(store, rows)
    for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
        for number in numbers[:-2]:
            if type(number) is not bool:
                where = {"n": {operator: number}}
                assert selected(store, where) == matching(rows, where), where
    assert [row.metadata for row in store.read_documents(None, None)] == rows


def test_random_filters_over_many_rows(store):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(metadata_rows(), min_size=20, max_size=40), st.lists(where_filters(), min_size=5, max_size=10))
    def check(rows, filters):
        ids = [doc_id for part in store.documents() for doc_id in part.doc_ids]
        store.delete(ids)
        fill(store, rows)
        for where in filters:
            found = {doc_id for doc_id, _ in store.read_metadata(kayak.StoreSelection(where=kayak.parse_where(where)))}
            assert found == matching(rows, where), where

    check()


@pytest.mark.parametrize("count", [0, 1, 32, 33, 5000])
def test_lists_of_operands(store, count):
    rows = [{"n": n} for n in range(40)] + [{}, {"n": [3]}, {"n": "3"}, {"n": True}]
    fill(store, rows)
    operands = [*range(count - 1), [3]][-count:] if count else []
    for operator in ("$in", "$nin"):
        where = {"n": {operator: operands}}
        assert selected(store, where) == matching(rows, where)


def test_a_filter_too_large_for_a_statement_is_evaluated_here(store):
    rows = [{"n": n} for n in range(50)]
    fill(store, rows)
    where = {"$or": [{"n": {"$gt": n, "$lt": n + 2}} for n in range(0, 3000, 3)]}
    assert store.split_filter(kayak.parse_where(where)) == (None, kayak.parse_where(where))
    assert selected(store, where) == matching(rows, where)
    found = store.search_candidates(kayak.query(VECTOR), k=50, where=where)
    assert set(found.candidate_doc_ids) == matching(rows, where)
    assert "filtered in the client" in found.profile.notes[0]
    small = store.search_candidates(kayak.query(VECTOR), k=50, where={"n": {"$lt": 3}})
    assert small.profile.notes == ("exact MaxSim in SQL",)


def test_a_filter_of_another_kind_is_evaluated_here(store):
    class Odd(kayak.Where):
        def matches(self, metadata):
            return metadata.get("n", 0) % 2 == 1

        def operators(self):
            return frozenset({"$odd"})

        def keys(self):
            return frozenset({"n"})

        def to_dict(self):
            return {"n": {"$odd": True}}

        def depth(self):
            return 1

    fill(store, [{"n": n} for n in range(6)])
    assert selected(store, Odd()) == {"1", "3", "5"}
    assert store.search_candidates(kayak.query(VECTOR), k=9, where=Odd()).candidate_doc_ids == ("1", "3", "5")
    with pytest.raises(kayak.InvalidTypeError):
        list(store.read_metadata(kayak.StoreSelection(where=Odd())))


def test_equality_uses_the_gin_index(store, admin, schema):
    fill(store, [{"n": n} for n in range(3000)])
    admin.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, "documents")))
    used = "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE schemaname = %s AND indexrelname LIKE %s"
    before = admin.execute(used, (schema, "%metadata%")).fetchone()[0]
    assert selected(store, {"n": {"$in": [7, 8]}}) == {"7", "8"}
    store.close()  # the connection reports its counters when it ends
    for _ in range(2000):
        if admin.execute(used, (schema, "%metadata%")).fetchone()[0] > before:
            return
    pytest.fail("the index on metadata was not used")


@pytest.mark.parametrize("count", [1, 33, 256, 257, 1500])
def test_exact_scores_of_queries_of_any_length(store, count):
    generator = np.random.default_rng(count)
    matrices = [generator.standard_normal((length, 4), dtype=np.float32) for length in (1, 5, 40)]
    store.upsert(kayak.documents(["a", "b", "c"], matrices))
    query = kayak.query(generator.standard_normal((count, 4), dtype=np.float32))
    found = store.search_candidates(query, k=3)
    expected = store.load_index().search(query, k=3)
    assert found.candidate_doc_ids == tuple(hit.doc_id for hit in expected)
    np.testing.assert_allclose([hit.score for hit in found.hits], [hit.score for hit in expected], rtol=1e-5)
    assert found.profile.document_vector_count == 46
    assert found.profile.bytes_read == 3 * 9


def test_equal_scores_keep_the_order_of_insertion(store):
    ids = ["z", "m", "a", "q"]
    store.upsert(kayak.documents(ids, [VECTOR] * 4))
    assert store.search_candidates(kayak.query(VECTOR), k=3).candidate_doc_ids == ("z", "m", "a")


def test_overflow_is_refused(store):
    store.upsert(kayak.documents(["a"], [np.full((1, 4), 3e38, np.float32)]))
    with pytest.raises(kayak.ScoreOverflowError):
        store.search_candidates(kayak.query(np.full((1, 4), 3e38, np.float32)), k=1)


class TestPooled:
    COUNT = 10_500

    @pytest.fixture
    def store(self, open_store):
        generator = np.random.default_rng(5)
        tokens = generator.standard_normal((self.COUNT, 2, 8), dtype=np.float32)
        plain = open_store()
        plain.upsert(
            kayak.documents([f"{n}" for n in range(self.COUNT)], list(tokens)),
            metadata=[{"n": n} for n in range(self.COUNT)],
        )
        return open_store(candidates="pooled")

    def test_through_the_index_and_one_by_one(self, store, open_store):
        query = kayak.query(np.random.default_rng(6).standard_normal((3, 8), dtype=np.float32))
        means = store.load_index().as_packed_token_matrix().reshape(-1, 2, 8).mean(axis=1)
        scores = means @ query.as_vector_matrix().mean(axis=0)
        best = [f"{n}" for n in np.argsort(-scores)[:50]]

        found = store.search_candidates(query, k=50)
        assert "HNSW" in found.profile.notes[0]
        assert len(set(found.candidate_doc_ids) & set(best)) >= 45
        expected = scores[[int(doc_id) for doc_id in found.candidate_doc_ids]]
        np.testing.assert_allclose([hit.score for hit in found.hits], expected, rtol=1e-4, atol=1e-5)

        broad = store.search_candidates(query, k=50, where={"n": {"$gte": 100}})
        assert "HNSW" in broad.profile.notes[0]
        assert len(broad.hits) == 50
        assert min(int(doc_id) for doc_id in broad.candidate_doc_ids) >= 100

        narrow = store.search_candidates(query, k=50, where={"n": {"$lt": 60}})
        assert narrow.profile.notes == ("mean vectors compared one by one, without the index",)
        assert narrow.profile.document_vector_count == 60
        assert narrow.candidate_doc_ids == tuple(f"{n}" for n in np.argsort(-scores[:60])[:50])

        some = store.search_candidates(query, k=2, doc_ids=["5", "7", "unknown"])
        assert some.profile.document_vector_count == 2

        everything = store.search_candidates(query, k=self.COUNT + 1)
        assert len(everything.hits) == self.COUNT
        assert store.capabilities().native_candidates == "approximate"

        plan = kayak.store_native_search_plan(5, 500)
        assert len(kayak.search_with_plan(query, store, plan).hits) == 5


def test_pages_are_bounded(open_store, monkeypatch):
    """A selection larger than a page comes in several batches; a document larger than a page is one."""
    monkeypatch.setattr("kayak_pgvector.reading.PAGE_BYTES", 1000)
    store = open_store()
    lengths = [5, 5, 200, 1, 1, 62]
    matrices = [np.full((length, 4), n, np.float32) for n, length in enumerate(lengths)]
    store.upsert(kayak.documents([f"{n}" for n in range(6)], matrices))
    parts = [part.doc_ids for part in store.read_batches(kayak.StoreSelection())]
    assert parts == [("0", "1"), ("2",), ("3", "4"), ("5",)]
    some = [part.doc_ids for part in store.read_batches(kayak.StoreSelection(doc_ids=("5", "1", "3", "x")))]
    assert some == [("1", "3"), ("5",)]
    index = store.load_index()
    assert all((index.document_token_matrix(n) == n).all() for n in range(6))


def test_one_upsert_in_many_batches(open_store, monkeypatch):
    monkeypatch.setattr("kayak_pgvector.writing.BATCH_BYTES", 100)
    store = open_store()
    ids = [f"{n}" for n in range(30, 0, -1)]
    store.upsert(kayak.documents(ids, [np.full((3, 4), int(n), np.float32) for n in ids]))
    assert store.load_index().doc_ids == tuple(ids)
    assert store.generation().endswith("-1")
