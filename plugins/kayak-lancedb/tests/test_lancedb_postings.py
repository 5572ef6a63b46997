"""Postings in LanceDB: the promises of the conformance suite, and what is particular to its tables."""

from __future__ import annotations

import kayak
import lancedb
import numpy as np
import pytest
from kayak.testing import PostingsConformance
from kayak_lancedb import postings


class TestPostings(PostingsConformance):
    examples = 9

    @pytest.fixture
    def store(self, tmp_path):
        with kayak.open_store("lancedb", path=tmp_path) as store:
            yield store

    @pytest.fixture
    def reopen(self, tmp_path):
        def reopen(store):
            store.close()
            return kayak.open_store("lancedb", path=tmp_path)

        return reopen


@pytest.fixture
def store(tmp_path):
    with kayak.open_store("lancedb", path=tmp_path) as store:
        store.upsert(kayak.documents([f"d{n}" for n in range(6)], np.ones((6, 2, 4))))
        yield store


def posted(store, codebook):
    store.write_codebook(codebook)
    for each in store.unposted_documents(codebook.identity):
        count = each.documents.document_count
        store.write_postings(
            codebook.identity,
            kayak.DocumentPostings(
                each.documents.doc_ids, each.revisions, np.arange(count + 1), np.zeros(count, np.int32)
            ),
        )


def search(store, codebook):
    asked = kayak.PostingsQuery(codebook.identity, *(np.zeros(1, np.int32),) * 2, np.ones(1, np.float32))
    return store.search_postings(kayak.query([[1.0, 0, 0, 0]]), asked, k=10).candidate_doc_ids


BOOK = kayak.Codebook(np.eye(4))


def test_without_the_index_terms_are_scanned_until_it_is_made_again(store, tmp_path):
    posted(store, BOOK)
    assert len(search(store, BOOK)) == 6
    table = lancedb.connect(tmp_path).open_table("late_documents")
    table.drop_index("terms_idx")
    assert len(search(store, BOOK)) == 6
    store.index_postings()
    table.checkout_latest()
    assert [index.name for index in table.list_indices()] == ["terms_idx"]
    assert len(search(store, BOOK)) == 6


def test_many_unindexed_rows_are_indexed(store, monkeypatch, tmp_path):
    monkeypatch.setattr(postings, "_FEW_ROWS", 2)
    posted(store, BOOK)
    table = lancedb.connect(tmp_path).open_table("late_documents")
    assert table.index_stats("terms_idx").num_unindexed_rows == 6
    store.index_postings()
    table.checkout_latest()
    assert table.index_stats("terms_idx").num_unindexed_rows == 0
    assert len(search(store, BOOK)) == 6


def test_a_handle_from_before_the_first_codebook_takes_terms_away_too(store, tmp_path):
    with kayak.open_store("lancedb", path=tmp_path) as other:
        other.upsert(kayak.documents(["d0"], np.zeros((1, 1, 4))))
        posted(store, BOOK)
        other.upsert(kayak.documents(["d0", "new"], np.zeros((2, 1, 4))))
        assert store.postings_stats() == kayak.PostingsStats(BOOK.identity, 5, 2)
        other.write_codebook(kayak.Codebook(2 * np.eye(4)))
        assert store.postings_stats().unposted_document_count == 7


def test_a_column_of_postings_that_is_missing_is_named(store, tmp_path):
    posted(store, BOOK)
    lancedb.connect(tmp_path).open_table("late_documents").drop_columns(["posted"])
    with pytest.raises(kayak.StoreSchemaError, match="column 'posted' is missing"):
        kayak.open_store("lancedb", path=tmp_path)
