"""Store checks: replacing, deleting, refusing, order, and memory that nobody shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kayak.contracts import LateStore
from kayak.errors import EmptySelectionError, InvalidInputError, InvalidTypeError, KayakError
from kayak.testing.rows import (
    DIMENSION,
    Row,
    as_documents,
    assert_same_rows,
    clear,
    exact_vectors,
    ids_of,
    index_rows,
    numbered_rows,
    stored,
    write,
)
from kayak.testing.suite import ConformanceSuite
from kayak.values import IndexBlock, LateDocuments, documents


class StoreWrites(ConformanceSuite):
    """Upserts, replacements, deletions and refusals."""

    def test_upsert_replaces_a_document_whole(self, store: LateStore) -> None:
        """Upserting a known id replaces vectors, text and metadata together; the others stay."""
        rows = numbered_rows(4)
        write(store, rows)
        longer = Row("doc-1", exact_vectors(np.full((5, DIMENSION), 9)), "other", {"only": "this"})
        write(store, [longer])
        assert_same_rows(stored(store), [rows[0], longer, *rows[2:]], ordered=False)
        bare = Row("doc-1", exact_vectors(np.full((1, DIMENSION), 8)))
        write(store, [bare])
        assert_same_rows(stored(store), [rows[0], bare, *rows[2:]], ordered=False)
        store.upsert(as_documents([longer]))
        assert stored(store, doc_ids=["doc-1"])[0].metadata == {}, "metadata of the replaced document came back"

    def test_upsert_of_new_and_known_ids_together(self, store: LateStore) -> None:
        """One batch may replace some documents and insert others."""
        write(store, numbered_rows(3))
        newer = numbered_rows(5, version=2)[1:]
        write(store, newer)
        assert_same_rows(stored(store), [numbered_rows(1)[0], *newer], ordered=False)

    def test_delete(self, store: LateStore) -> None:
        """Delete removes the named documents, ignores unknown ids, and lets ids be used again."""
        rows = numbered_rows(4)
        write(store, rows)
        store.delete(["doc-2", "unknown", "doc-0", "doc-2"])
        assert_same_rows(stored(store), [rows[1], rows[3]], ordered=False)
        assert sorted(store.load_index().doc_ids) == ["doc-1", "doc-3"]
        store.delete(["unknown"])
        store.delete([])
        write(store, [rows[2]])
        assert_same_rows(stored(store), rows[1:], ordered=False)
        with pytest.raises(InvalidTypeError):
            store.delete("doc-1")
        assert_same_rows(stored(store), rows[1:], ordered=False)

    def test_delete_everything(self, store: LateStore) -> None:
        """A store emptied by deletion is empty to every question, and can be filled again."""
        rows = numbered_rows(3)
        write(store, rows)
        store.delete(ids_of(rows))
        assert stored(store) == []
        assert (store.stats().document_count, store.stats().total_vector_count) == (0, 0)
        with pytest.raises(EmptySelectionError):
            store.load_index()
        write(store, rows)
        assert_same_rows(stored(store), rows, ordered=False)

    def test_order(self, store: LateStore) -> None:
        """Documents come back in insertion order if declared, else in an order that stays while nothing changes."""
        rows = numbered_rows(6, prefix="z") + numbered_rows(6, prefix="a")
        for start in range(0, 12, 4):
            write(store, rows[start : start + 4])
        first = store.load_index().doc_ids
        for _ in range(3):
            assert store.load_index().doc_ids == first
            assert ids_of(stored(store)) == list(first)
        if not store.capabilities().preserves_insertion_order:
            assert sorted(first) == sorted(ids_of(rows))
            return
        assert list(first) == ids_of(rows)
        write(store, [Row("z2", exact_vectors(np.ones((2, DIMENSION))))])
        assert store.load_index().doc_ids == first, "a replaced document keeps its place"
        store.delete(["z1"])
        write(store, [rows[1]])
        expected = [doc_id for doc_id in first if doc_id != "z1"] + ["z1"]
        assert list(store.load_index().doc_ids) == expected, "a deleted document that returns comes last"

    def test_refused_input_writes_nothing(self, store: LateStore) -> None:
        """Wrong input raises an error of ours, and the store stays as it was."""
        rows = numbered_rows(2)
        write(store, rows)
        batch = as_documents(numbered_rows(4, version=7))
        wrong: list[tuple[object, object]] = [
            (["doc-0"], None),
            ({"doc-0": [[1.0]]}, None),
            (batch, [{}]),
            (batch, {"doc-0": {}}),
            (batch, [{}, {}, {}, {1: 2}]),
            (batch, [{}, {}, {}, {"$reserved": 2}]),
            (batch, [{}, {}, {}, {"x": object()}]),
            (batch, [{}, {}, {}, {"x": 2**63}]),
            (batch, [{}, {}, {}, {"x": "\ud800"}]),
        ]
        for documents_, metadata in wrong:
            with pytest.raises(KayakError):
                store.upsert(documents_, metadata=metadata)  # type: ignore[arg-type]  # wrong on purpose
            assert_same_rows(stored(store), rows, ordered=False)

    def test_one_dimension(self, store: LateStore) -> None:
        """A batch of another dimension than the store's is refused, naming both, and nothing of it is written."""
        rows = numbered_rows(2)
        write(store, rows)
        other = DIMENSION + 1
        with pytest.raises(InvalidInputError, match=rf"\b{other}\b.*\b{DIMENSION}\b|\b{DIMENSION}\b.*\b{other}\b"):
            write(store, numbered_rows(3, dim=other, version=5))
        assert_same_rows(stored(store), rows, ordered=False)

    def test_failed_batch_leaves_nothing(self, store: LateStore) -> None:
        """If one row of a batch cannot be stored, no row of it is; skipped unless `atomic_upsert` is declared."""
        if not store.capabilities().atomic_upsert:
            pytest.skip("the store does not declare atomic_upsert")
        write(store, numbered_rows(2))
        batch = numbered_rows(50, version=3)
        metadata = [dict(row.metadata) for row in batch]
        metadata[-1]["score"] = float("nan")
        with pytest.raises(InvalidInputError):
            store.upsert(as_documents(batch), metadata=metadata)
        assert_same_rows(stored(store), numbered_rows(2), ordered=False)

    def test_caller_may_reuse_its_memory(self, store: LateStore) -> None:
        """What the caller does to its arrays and metadata after `upsert` does not reach the store."""
        vectors = exact_vectors(np.ones((2, DIMENSION)))
        own_block = exact_vectors(np.ones((2, DIMENSION)))
        metadata: list[dict[str, Any]] = [{"tags": ["a"], "nested": {"x": [1]}}]
        store.upsert(documents(["a"], [vectors]), metadata=metadata)
        handmade = LateDocuments(("b",), IndexBlock(np.array([0, 2], dtype=np.int64), own_block))
        store.upsert(handmade, metadata=metadata)
        vectors += 5
        own_block += 5
        metadata[0]["tags"].append("b")
        metadata[0]["nested"]["x"] = None
        kept = {"tags": ["a"], "nested": {"x": [1]}}
        ones = exact_vectors(np.ones((2, DIMENSION)))
        expected = [Row("a", ones, None, kept), Row("b", ones, None, kept)]
        assert_same_rows(stored(store), expected, ordered=False)

    def test_results_do_not_expose_the_store(self, store: LateStore) -> None:
        """Vectors come back read-only, and changing exported metadata does not change the store."""
        rows = numbered_rows(2)
        rows[0] = Row(rows[0].doc_id, rows[0].vectors, None, {"tags": ["a"], "nested": {"x": [1]}})
        write(store, rows)
        index = store.load_index()
        arrays: list[npt.NDArray[Any]] = [index.document_token_matrix(0), index.as_packed_token_matrix()]
        arrays += [
            array for part in index.slices for array in (part.block.vectors, part.block.scales) if array is not None
        ]
        for batch in store.documents():
            arrays += [*batch.token_matrices, batch.block.vectors]
            for row in batch.metadata or ():
                for value in row.values():
                    if isinstance(value, list):
                        value.append("changed")
                    elif isinstance(value, dict):
                        value["x"].append("changed")
        assert not any(array.flags.writeable for array in arrays), "a result is writable memory"
        assert_same_rows(stored(store), rows, ordered=False)

    def test_an_index_outlives_later_writes(self, store: LateStore) -> None:
        """An index that was loaded keeps its documents while the store changes."""
        rows = numbered_rows(4)
        write(store, rows)
        index = store.load_index(doc_ids=ids_of(rows), include_text=True)
        write(store, numbered_rows(4, version=5))
        store.delete(["doc-2"])
        assert_same_rows(index_rows(index), rows, metadata=False)
        clear(store)
        assert_same_rows(index_rows(index), rows, metadata=False)
