"""Codebooks, and stores that keep postings over rows in memory."""

from __future__ import annotations

import kayak
import numpy as np
import pytest
from kayak.testing import PostingsConformance
from postings_in_memory import MemoryPostingsStore


class TestMemoryPostings(PostingsConformance):
    @pytest.fixture
    def store(self):
        with MemoryPostingsStore() as store:
            yield store

    @pytest.fixture
    def reopen(self):
        return MemoryPostingsStore.reopen


def test_equal_codebooks_have_equal_identities():
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    book = kayak.Codebook(vectors, {"b": 1, "a": [None, "x"]})
    same = kayak.Codebook(vectors.astype(np.float64).tolist(), {"a": [None, "x"], "b": 1})
    assert book.data == same.data
    assert book.identity == same.identity
    assert book.identity != kayak.Codebook(vectors, {"b": 2, "a": [None, "x"]}).identity
    assert book.identity != kayak.Codebook(vectors + 1, book.facts).identity
    again = kayak.Codebook.from_bytes(book.data, book.identity, place="here")
    np.testing.assert_array_equal(again.vectors, vectors)
    assert again.facts == book.facts


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:40], lambda data: b"\0" + data[1:]])
def test_damaged_codebooks_are_refused(damage):
    book = kayak.Codebook(np.ones((3, 2)))
    with pytest.raises(kayak.StoreCorruptError, match=r"codebook of table 'x' is damaged.*rebuild=True"):
        kayak.Codebook.from_bytes(damage(book.data), book.identity, place="table 'x'")
    with pytest.raises(kayak.StoreCorruptError):
        kayak.Codebook.from_bytes(b"", kayak.Codebook(np.ones((1, 1))).identity, place="table 'x'")


def test_malformed_codebooks_are_refused():
    with pytest.raises(kayak.InvalidInputError, match="the codebook's vectors"):
        kayak.Codebook(np.array([[1.0, np.nan]]))
    with pytest.raises(kayak.InvalidInputError, match="JSON"):
        _ = kayak.Codebook(np.ones((1, 1)), {"a": {1, 2}}).identity


def test_weights_are_added_up_for_engines_without_a_maximum():
    query = kayak.PostingsQuery(
        "x", np.array([0, 0, 1], np.int32), np.array([7, 3, 7], np.int32), np.array([0.5, 1.0, 0.25], np.float32)
    )
    terms, weights = query.summed()
    assert terms.tolist() == [3, 7]
    assert weights.tolist() == [1.0, 0.75]


def test_a_filter_that_the_engine_cannot_evaluate_is_applied_before_the_window_is_cut():
    with MemoryPostingsStore() as store:
        ids = [f"d{n}" for n in range(6)]
        store.upsert(kayak.documents(ids, np.ones((6, 1, 2))), metadata=[{"n": n} for n in range(6)])
        book = kayak.Codebook(np.ones((3, 2)))
        store.write_codebook(book)
        for batch in store.unposted_documents(book.identity):
            count = batch.documents.document_count
            terms = np.zeros(count, np.int32)
            store.write_postings(
                book.identity,
                kayak.DocumentPostings(batch.documents.doc_ids, batch.revisions, np.arange(count + 1), terms),
            )
        asked = kayak.PostingsQuery(book.identity, *(np.zeros(1, np.int32),) * 2, np.ones(1, np.float32))
        query = kayak.query([[1.0, 0.0]])
        found = store.search_postings(query, asked, k=2, where={"n": {"$gte": 3}})
        assert found.candidate_doc_ids == ("d3", "d4")
        assert any("filtered in the client" in note for note in found.profile.notes)
        none = kayak.PostingsQuery(book.identity, *(np.zeros(0, np.int32),) * 2, np.zeros(0, np.float32))
        assert store.search_postings(query, none, k=2).hits == ()
