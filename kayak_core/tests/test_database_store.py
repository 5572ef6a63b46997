"""`DatabaseLateStore`: columns become indexes and exports, filters are divided, candidates come from the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import attrs
import kayak
import numpy as np
import pytest
from kayak.testing import StoreConformance


class ColumnStore(kayak.DatabaseLateStore):
    """Keeps rows in memory and hands them out as batches of at most `batch_rows`."""

    kind = "columns"
    persistent = False

    def __init__(self, *, batch_rows: int = 2) -> None:
        self.batch_rows = batch_rows
        self.rows: dict[str, kayak.StoredDocument] = {}
        self.lock = threading.Lock()
        self.selections: list[kayak.StoreSelection] = []
        self.searches: list[kayak.CandidateSearch] = []

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        with self.lock:
            self.rows |= {row.doc_id: row for row in rows}

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        with self.lock:
            for doc_id in doc_ids:
                self.rows.pop(doc_id, None)

    def vector_dim(self) -> int | None:
        with self.lock:
            return next((row.vectors.shape[1] for row in self.rows.values()), None)

    def _chosen(self, selection: kayak.StoreSelection) -> list[kayak.StoredDocument]:
        with self.lock:
            rows = list(self.rows.values())
        self.selections.append(selection)
        where = selection.where
        return [
            row
            for row in rows
            if (selection.doc_ids is None or row.doc_id in selection.doc_ids)
            and (where is None or where.matches(row.metadata))
        ]

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        rows = self._chosen(selection)
        for start in range(0, len(rows), self.batch_rows):
            part = rows[start : start + self.batch_rows]
            texts = [row.text for row in part] if selection.texts else None
            batch = kayak.documents([row.doc_id for row in part], [row.vectors for row in part], texts=texts)
            metadata = tuple(deepcopy(dict(row.metadata)) for row in part) if selection.metadata else None
            yield attrs.evolve(batch, metadata=metadata)

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return ((row.doc_id, row.metadata) for row in self._chosen(selection))

    def find_candidates(self, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
        self.searches.append(search)
        rows = self._chosen(kayak.StoreSelection(search.doc_ids, search.where))
        scores = np.array([(search.vectors @ row.vectors.T).max(axis=1).sum() for row in rows])
        best = np.argsort(-scores, kind="stable")[: search.k]
        return kayak.FoundCandidates(tuple(rows[i].doc_id for i in best), scores[best], bytes_read=len(best))

    def capabilities(self) -> kayak.StoreCapabilities:
        return kayak.StoreCapabilities(
            self.kind,
            persistent=False,
            native_candidates="exact",
            filter_pushdown=("$eq", "$and"),
            preserves_insertion_order=True,
        )


class TestColumnStore(StoreConformance):
    @pytest.fixture
    def store(self):
        with ColumnStore() as store:
            yield store


@pytest.fixture
def store():
    with ColumnStore() as store:
        ids = [f"d{number}" for number in range(7)]
        vectors = [np.full((1 + number % 3, 4), number, dtype=np.float32) for number in range(7)]
        rows = [{"number": number, "even": number % 2 == 0} for number in range(7)]
        store.upsert(kayak.documents(ids, vectors, texts=[f"text {i}" for i in ids]), metadata=rows)
        store.selections.clear()
        yield store


QUERY = kayak.query(np.ones((2, 4)))


def test_an_index_has_one_block_a_batch_and_reads_no_more_than_asked(store):
    index = store.load_index()
    assert len(index.slices) == 4
    assert index.doc_ids == tuple(f"d{number}" for number in range(7))
    assert store.selections == [kayak.StoreSelection(texts=False, metadata=False)]
    np.testing.assert_array_equal(index.document_token_matrix(4), np.full((2, 4), 4))


def test_doc_ids_order_vectors_and_texts(store):
    index = store.load_index(doc_ids=["d5", "nobody", "d0", "d3"], include_text=True)
    assert index.doc_ids == ("d5", "d0", "d3")
    assert index.doc_texts == ("text d5", "text d0", "text d3")
    assert [float(index.document_token_matrix(i)[0, 0]) for i in range(3)] == [5.0, 0.0, 3.0]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_export_batches_have_the_size_that_was_asked_for(store, size):
    batches = list(store.documents(batch_size=size))
    assert [batch.document_count for batch in batches] == [size] * (7 // size) + ([7 % size] if 7 % size else [])
    assert [doc_id for batch in batches for doc_id in batch.doc_ids] == [f"d{number}" for number in range(7)]
    assert [text for batch in batches for text in batch.texts] == [f"text d{number}" for number in range(7)]
    assert [row["number"] for batch in batches for row in batch.metadata] == list(range(7))
    assert not any(batch.block.vectors.flags.writeable or batch.block.offsets.flags.writeable for batch in batches)
    assert [float(m[-1, 0]) for batch in batches for m in batch.token_matrices] == list(range(7))


def test_the_engine_gets_its_part_of_a_filter_and_the_client_does_the_rest(store):
    where = {"even": True, "number": {"$gt": 2}}
    index = store.load_index(where=where)
    assert index.doc_ids == ("d4", "d6")
    listed, asked = store.selections
    assert listed == kayak.StoreSelection(where=kayak.parse_where({"even": True}))
    assert asked.where.to_dict() == {"even": {"$eq": True}}
    assert asked.metadata  # needed for the rest
    assert asked.doc_ids is None  # half of the documents and more are read faster together than one by one
    few = store.load_index(where={"even": True, "number": {"$gt": 4}})
    assert few.doc_ids == ("d6",)
    assert store.selections[-1].doc_ids == ("d6",)
    assert store.load_index(doc_ids=["d6", "d2", "d5", "d4", "d0"], where={"number": {"$lt": 3}}).doc_ids == (
        "d2",
        "d0",
    )
    assert store.selections[-1].doc_ids == ("d2", "d0")
    assert [b.doc_ids for b in store.documents(where={"number": {"$gt": 99}})] == []
    profile = kayak.search_with_plan(QUERY, store, kayak.exact_full_scan_search_plan(2), where=where).profiles[0]
    assert profile.notes == ("filtered in the client: {'number': {'$gt': 2}}",)


def test_candidates_under_a_filter_that_the_engine_cannot_run(store):
    found = store.search_candidates(QUERY, k=5, where={"even": True, "number": {"$gt": 2}})
    assert found.candidate_doc_ids == ("d6", "d4")
    assert store.searches[-1].doc_ids == ("d4", "d6")
    assert found.profile.notes == ("filtered in the client: {'number': {'$gt': 2}}",)
    assert found.profile.executor == "columns"
    assert found.profile.bytes_read == 2
    assert store.search_candidates(QUERY, k=5, where={"number": {"$gt": 99}}).hits == ()
    pushed = store.search_candidates(QUERY, k=5, where={"even": True})
    assert store.searches[-1].where.to_dict() == {"even": {"$eq": True}}
    assert pushed.profile.notes == ()


def test_a_native_plan_loads_the_window_only(store):
    result = kayak.search_with_plan(QUERY, store, kayak.store_native_search_plan(2, 3))
    assert [hit.doc_id for hit in result.hits] == ["d6", "d5"]
    assert store.selections[-1].doc_ids == ("d6", "d5", "d4")


def test_wrong_input_is_refused_before_the_engine_is_asked(store):
    with pytest.raises(kayak.InvalidTypeError, match=r"expected a LateQuery, got list"):
        store.search_candidates([[1.0]], k=1)
    with pytest.raises(kayak.InvalidInputError, match=r"dimension 3, but store 'columns' holds dimension 4"):
        store.search_candidates(kayak.query([[1.0, 2.0, 3.0]]), k=1)
    assert store.searches == []


def test_an_export_stops_when_the_store_is_closed(store):
    batches = store.documents(batch_size=2)
    next(batches)
    store.close()
    with pytest.raises(kayak.StoreClosedError):
        next(batches)


def test_a_store_without_a_search_says_so():
    class Plain(ColumnStore):
        find_candidates = kayak.DatabaseLateStore.find_candidates

        def capabilities(self):
            return kayak.StoreCapabilities(self.kind, persistent=False)

    with Plain() as store:
        with pytest.raises(kayak.UnsupportedOperationError, match="has no search of its own"):
            store.search_candidates(QUERY, k=1)
        with pytest.raises(kayak.UnsupportedOperationError, match="has no search of its own"):
            store.find_candidates(kayak.CandidateSearch(QUERY.as_vector_matrix(), 1))


def test_row_batches_respect_bytes_and_rows():
    rows = [kayak.StoredDocument(str(i), np.zeros((n, 4), np.float32)) for i, n in enumerate([1, 1, 8, 1, 1])]
    ids = [[row.doc_id for row in batch] for batch in kayak.row_batches(rows, max_bytes=40)]
    assert ids == [["0", "1"], ["2"], ["3", "4"]]
    ids = [[row.doc_id for row in batch] for batch in kayak.row_batches(rows, max_bytes=10**9, max_rows=2)]
    assert ids == [["0", "1"], ["2", "3"], ["4"]]
    assert list(kayak.row_batches([], max_bytes=1)) == []
    for limits in ({"max_bytes": 0}, {"max_bytes": 1, "max_rows": 0}):
        with pytest.raises(kayak.InvalidInputError, match="max_"):
            kayak.row_batches(rows, **limits)


def test_metadata_json_keeps_every_value():
    row = {"text": 'é"\n', "one": 1, "float": 1.0, "null": None, "list": [True, {"x": 2**53 + 1}]}
    text = kayak.metadata_json(row)
    assert "é" in text
    assert repr(json.loads(text)) == repr(row)
