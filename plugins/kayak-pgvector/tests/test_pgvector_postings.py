"""Postings in PostgreSQL: the promises of the conformance suite, and what is particular to the tables."""

from __future__ import annotations

import kayak
import kayak_pgvector.postings as module
import numpy as np
import pytest
from kayak.testing import PostingsConformance


class TestPostings(PostingsConformance):
    @pytest.fixture
    def store(self, open_store):
        return open_store()

    @pytest.fixture
    def reopen(self, open_store):
        def reopen(store):
            store.close()
            return open_store()

        return reopen


class TestHostileNames(PostingsConformance):
    """Names that would be SQL if they were not quoted, at the greatest length."""

    examples = 3
    table_name = """a"b';%s--{x} """ + "n" * 31

    @pytest.fixture
    def store(self, open_store):
        return open_store(table_name=self.table_name)

    @pytest.fixture
    def reopen(self, open_store):
        def reopen(store):
            store.close()
            return open_store(table_name=self.table_name)

        return reopen


BOOK = kayak.Codebook(np.eye(4))


def posted(store, codebook=BOOK):
    store.write_codebook(codebook)
    for each in store.unposted_documents(codebook.identity):
        count = each.documents.document_count
        terms = np.zeros(count, np.int32)
        store.write_postings(
            codebook.identity,
            kayak.DocumentPostings(each.documents.doc_ids, each.revisions, np.arange(count + 1), terms),
        )
    store.index_postings()


def search(store, codebook=BOOK):
    asked = kayak.PostingsQuery(codebook.identity, *(np.zeros(1, np.int32),) * 2, np.ones(1, np.float32))
    return store.search_postings(kayak.query([[1.0, 0, 0, 0]]), asked, k=10).candidate_doc_ids


def fill(store, count=6):
    store.upsert(kayak.documents([f"d{n}" for n in range(count)], np.ones((count, 2, 4))))


class TestOwnConnection(PostingsConformance):
    """Everything on one connection of the caller's."""

    examples = 3

    @pytest.fixture
    def store(self, open_store, admin):
        return open_store(connection=admin)

    @pytest.fixture
    def reopen(self, open_store, admin):
        def reopen(store):
            store.close()
            return open_store(connection=admin)

        return reopen


def test_a_transaction_of_the_callers_takes_postings_back_too(open_store, admin):
    store = open_store(connection=admin)
    fill(store)
    posted(store)
    with admin.transaction(force_rollback=True):
        store.delete(["d0"])
        store.write_codebook(kayak.Codebook(2 * np.eye(4)))
    assert search(store) == ("d0", "d1", "d2", "d3", "d4", "d5")


def test_a_write_that_fails_leaves_the_terms(open_store):
    store = open_store()
    fill(store)
    posted(store)
    with pytest.raises(kayak.InvalidInputError):
        store.upsert(kayak.documents(["d0"], np.ones((1, 2, 5))))
    assert len(search(store)) == 6
    assert store.postings_stats().unposted_document_count == 0


def test_tables_are_made_with_the_first_codebook_and_the_index_is_used(open_store, admin, schema):
    store = open_store()
    fill(store)
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace ORDER BY relname"
    assert [name for (name,) in admin.execute(tables, (schema,))] == ["documents", "documents_kayak"]
    posted(store)
    names = [name for (name,) in admin.execute(tables, (schema,))]
    assert names[2:] == ["documents_kayak_codebook", "documents_kayak_pending", "documents_kayak_postings"]
    admin.execute(f'INSERT INTO "{schema}".documents_kayak_postings SELECT t, p FROM generate_series(1, 400) t, '
                  "generate_series(1000, 1400) p")  # fmt: skip
    admin.execute(f'VACUUM ANALYZE "{schema}".documents_kayak_postings')
    query = (
        f'EXPLAIN SELECT position FROM unnest(%s::int[]) q(term) JOIN "{schema}".documents_kayak_postings USING (term)'
    )
    plan = "\n".join(row[0] for row in admin.execute(query, ([1, 2, 3],)))
    assert "Index Only Scan using documents_kayak_postings_pkey" in plan


def test_a_damaged_codebook_is_named(open_store, admin, schema):
    store = open_store()
    fill(store)
    posted(store)
    admin.execute(f"""UPDATE "{schema}".documents_kayak_codebook SET content = '\\x00'::bytea""")
    with pytest.raises(kayak.StoreCorruptError, match="codebook"):
        store.read_codebook()
    store.write_codebook(BOOK)
    assert store.read_codebook().identity == BOOK.identity
    assert len(search(store)) == 6


def test_pages_of_documents_without_terms(open_store, monkeypatch):
    monkeypatch.setattr(module, "DOCUMENTS_AT_A_TIME", 4)
    store = open_store()
    fill(store, 11)
    posted(store)
    assert store.postings_stats() == kayak.PostingsStats(BOOK.identity, 11, 0)
