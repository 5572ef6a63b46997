"""Store checks: the store's own search, several threads at once, and moving to another store."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

import kayak
from kayak.builtin.memory_store import MemoryLateStore
from kayak.contracts import CandidateStageResult, LateStore
from kayak.errors import InvalidInputError, UnsupportedOperationError
from kayak.testing.oracles import assert_exact, matrices_of, ranked
from kayak.testing.rows import DIMENSION, Row, assert_same_rows, clear, ids_of, numbered_rows, stored, write
from kayak.testing.suite import ConformanceSuite
from kayak.testing.threads import run_together
from kayak.values import LateQuery, query

ROUNDS = 30
READERS = 3


class StoreSearch(ConformanceSuite):
    """`search_candidates`, concurrency and `copy_store`."""

    def test_native_search_is_declared(self, store: LateStore) -> None:
        """A store without a search of its own says so instead of searching some other way."""
        if store.capabilities().native_candidates != "none":
            pytest.skip("the store declares native_candidates")
        write(store, numbered_rows(2))
        with pytest.raises(UnsupportedOperationError):
            store.search_candidates(_query(), k=1)

    def test_native_search_finds_candidates(self, store: LateStore) -> None:
        """`search_candidates` returns at most `k` distinct documents, best first, with their scores."""
        _needs_search(store)
        write(store, _scattered(12))
        for k in (1, 5, 12, 50):
            found = store.search_candidates(_query(), k=k)
            _assert_well_formed(found, min(k, 12))
            assert set(found.candidate_doc_ids) <= {f"doc-{n}" for n in range(12)}

    def test_native_search_is_exact_if_declared(self, store: LateStore) -> None:
        """With `native_candidates="exact"`, candidates and scores equal an exact scan."""
        if store.capabilities().native_candidates != "exact":
            pytest.skip("the store does not declare exact native_candidates")
        write(store, _scattered(12))
        index = store.load_index()
        for k in (1, 5, 50):
            found = store.search_candidates(_query(), k=k)
            chosen = index.select(found.candidate_doc_ids)
            values = np.array([hit.score for hit in found.hits])
            assert_exact(values, _query().as_vector_matrix(), matrices_of(chosen))
            everything = index.maxsim(_query())
            assert list(found.candidate_doc_ids) == ranked(index.doc_ids, everything.values)[:k]

    def test_native_search_selects_inside(self, store: LateStore) -> None:
        """`where` and `doc_ids` restrict the search itself: the window is filled from what they select."""
        _needs_search(store)
        write(store, _scattered(12))
        offered = store.capabilities()
        if offered.supports_metadata_filter:
            found = store.search_candidates(_query(), k=6, where={"even": False})
            assert set(found.candidate_doc_ids) == {f"doc-{n}" for n in range(1, 12, 2)}
            assert store.search_candidates(_query(), k=3, where={"number": 99}).hits == ()
        if offered.supports_document_subset_load:
            found = store.search_candidates(_query(), k=12, doc_ids=["doc-3", "unknown", "doc-7"])
            assert set(found.candidate_doc_ids) == {"doc-3", "doc-7"}
            assert store.search_candidates(_query(), k=3, doc_ids=["unknown"]).hits == ()

    def test_native_search_of_an_empty_store(self, store: LateStore) -> None:
        """Searching a store without documents finds nothing and raises nothing."""
        _needs_search(store)
        assert store.search_candidates(_query(), k=3).hits == ()

    def test_native_search_follows_changes(self, store: LateStore) -> None:
        """Replaced and deleted documents are found as they are now, or not at all."""
        _needs_search(store)
        rows = _scattered(6)
        write(store, rows)
        best = store.search_candidates(_query(), k=1).candidate_doc_ids[0]
        store.delete([best])
        assert best not in store.search_candidates(_query(), k=6).candidate_doc_ids
        strongest = Row(best, 50 * _query().as_vector_matrix())
        write(store, [strongest])
        assert store.search_candidates(_query(), k=1).candidate_doc_ids == (best,)

    def test_native_search_refuses_wrong_input(self, store: LateStore) -> None:
        """`k` below one and a query of another dimension are refused."""
        _needs_search(store)
        write(store, _scattered(3))
        with pytest.raises(InvalidInputError):
            store.search_candidates(_query(), k=0)
        with pytest.raises(InvalidInputError):
            store.search_candidates(query([[1.0] * (DIMENSION + 1)]), k=1)

    def test_readers_see_whole_documents(self, store: LateStore) -> None:
        """While one thread replaces documents, readers see whole ones, and whole batches if `atomic_upsert`."""
        whole_batches = store.capabilities().atomic_upsert
        write(store, numbered_rows(8))
        done = threading.Event()
        looks: list[int] = []

        def replace() -> int:
            version = 0
            try:
                while not done.is_set() and (version < ROUNDS or (len(looks) < ROUNDS and version < 10 * ROUNDS)):
                    version += 1
                    write(store, numbered_rows(8, version=version))
            finally:
                done.set()
            return version

        def look() -> None:
            rows = stored(store)
            looks.append(len(rows))
            versions = {int(row.metadata["version"]) for row in rows}
            for row in rows:
                number, version = int(row.metadata["number"]), int(row.metadata["version"])
                assert_same_rows([row], [numbered_rows(8, version=version)[number]])
            assert sorted(ids_of(rows)) == [f"doc-{n}" for n in range(8)]
            assert len(versions) == 1 or not whole_batches, f"one read saw versions {sorted(versions)}"

        def read() -> int:
            try:
                while not done.is_set():
                    look()
                look()  # once more, after the last write
            finally:
                done.set()
            return 0

        last = run_together([replace, *[read] * READERS])[0]
        assert_same_rows(stored(store), numbered_rows(8, version=last), ordered=False)

    def test_writers_wait_for_each_other(self, store: LateStore) -> None:
        """Threads that write different documents at the same time all succeed, and nothing is lost."""

        def insert(name: str) -> None:
            for number in range(5):
                write(store, numbered_rows(2, prefix=f"{name}-{number}-"))
            store.delete([f"{name}-0-0"])

        names = ("a", "b", "c")
        run_together([partial(insert, name) for name in names])
        expected = {f"{n}-{number}-{i}" for n in names for number in range(5) for i in range(2)}
        assert set(ids_of(stored(store))) == expected - {f"{name}-0-0" for name in names}
        assert store.stats().document_count == len(expected) - 3

    def test_copying_to_another_store_and_back(self, store: LateStore) -> None:
        """`copy_store` moves everything out and in again; what is equal already is not written twice."""
        rows = [*numbered_rows(5), Row("bare", np.ones((1, DIMENSION), np.float32))]
        write(store, rows)
        with MemoryLateStore() as other:
            assert kayak.copy_store(store, other, batch_size=2, show_progress=False).copied == 6
            assert_same_rows(stored(other), stored(store))
            assert kayak.copy_store(other, store, batch_size=4, show_progress=False).skipped == 6
            clear(store)
            assert kayak.copy_store(other, store, batch_size=4, show_progress=False).copied == 6
            assert_same_rows(stored(store), stored(other), ordered=False)


def _needs_search(store: LateStore) -> None:
    if store.capabilities().native_candidates == "none":
        pytest.skip("the store does not declare native_candidates")


def _query() -> LateQuery:
    return query([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, -0.5]])


def _scattered(count: int) -> list[Row]:
    """Documents around the unit sphere, so that approximate searches can tell them apart."""
    generator = np.random.default_rng(7)
    rows = []
    for number in range(count):
        vectors = generator.standard_normal((1 + number % 3, DIMENSION), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rounded = vectors.astype(np.float16).astype(np.float32)
        rows.append(Row(f"doc-{number}", rounded, None, {"number": number, "even": number % 2 == 0}))
    return rows


def _assert_well_formed(found: CandidateStageResult, size: int) -> None:
    ids = found.candidate_doc_ids
    assert len(ids) == size, f"{len(ids)} candidates, expected {size}"
    assert len(set(ids)) == len(ids), f"a candidate comes twice: {ids}"
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True), "candidates are not sorted by score"
    known = dict(zip(found.scores.doc_ids, found.scores.values.tolist(), strict=True))
    assert [known.get(hit.doc_id) for hit in found.hits] == scores, "hits and scores disagree"
    assert found.profile.output_hit_count == size
