"""Store checks: what is written comes back, to the bit, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kayak.contracts import LateStore
from kayak.errors import InvalidInputError
from kayak.testing.rows import (
    DIMENSION,
    Row,
    as_documents,
    as_kept,
    assert_same_rows,
    assert_same_vectors,
    batch_rows,
    clear,
    exact_vectors,
    ids_of,
    index_rows,
    numbered_rows,
    stored,
    write,
)
from kayak.testing.strategies import doc_ids, metadata_rows, token_matrices
from kayak.testing.suite import ConformanceSuite
from kayak.values import documents
from kayak.values.element_types import FLOAT16, INT8

TEXTS = (
    *("", " ", "a", "line\nbreak\r\n\t", "nul\x00inside", "é e\u0301", "שלום", "\U0001f600\u200d", "\ufeff"),
    *("'; --", "\\", '"quoted"'),
)
LONG_TEXT = "late interaction keeps one vector a token. " * 2_500
MANY_TOKENS = 3_000
FLOAT16_LIMIT = 6e4


class StoreDocuments(ConformanceSuite):
    """Round trips of vectors, ids, texts and metadata."""

    def test_vectors_come_back_bit_exact(self, store: LateStore) -> None:
        """Vectors come back to the bit: subnormal numbers, -0.0 and large values included.

        Where the store keeps another element type than float32, this holds for the values that it rounds to.
        """
        vector_dtype = store.stats().vector_dtype

        @self.settings()
        @given(token_matrices(dim=DIMENSION, magnitude=FLOAT16_LIMIT if vector_dtype == FLOAT16 else 1e38))
        def check(matrix: np.ndarray) -> None:
            store.upsert(documents(["a"], [matrix]))
            kept = as_kept(matrix, vector_dtype)
            assert_same_vectors(store.load_index().document_token_matrix(0), kept, "a")
            assert_same_vectors(next(iter(store.documents())).token_matrices[0], kept, "a")

        check()

    def test_float16_rounds_to_nearest(self, store: LateStore) -> None:
        """A store that keeps float16 rounds to nearest, says so, and refuses values beyond its range."""
        _needs_dtype(store, FLOAT16)
        values = np.linspace(-3, 3, 50 * DIMENSION, dtype=np.float32).reshape(50, DIMENSION)
        store.upsert(documents(["a"], [values]))
        rounded = values.astype(np.float16).astype(np.float32)
        assert_same_vectors(store.load_index().document_token_matrix(0), rounded, "a")
        assert store.load_index().vector_dtype == FLOAT16
        with pytest.raises(InvalidInputError):
            store.upsert(documents(["b"], [np.full((1, DIMENSION), 1e6, dtype=np.float32)]))
        assert ids_of(stored(store)) == ["a"]

    def test_int8_rounds_within_half_a_code(self, store: LateStore) -> None:
        """A store that keeps int8 rounds each vector to 1/254 of its greatest component, and copies codes unchanged."""
        _needs_dtype(store, INT8)

        @self.settings()
        @given(token_matrices(dim=DIMENSION, magnitude=3e38))
        def check(matrix: np.ndarray) -> None:
            store.upsert(documents(["a"], [matrix]))
            found = store.load_index().document_token_matrix(0)
            exact = matrix.astype(np.float64)
            half = np.abs(exact).max(axis=1) / 254 * (1 + 2**-16) + 2.0**-150  # a scale has 17 bits, where float32 has
            assert (np.abs(found - exact) <= half[:, np.newaxis]).all()
            store.upsert(next(iter(store.documents())))
            assert_same_vectors(store.load_index().document_token_matrix(0), found, "a")

        check()
        assert store.load_index().vector_dtype == INT8

    def test_documents_keep_their_lengths(self, store: LateStore) -> None:
        """Documents of one vector and of thousands stand beside each other, and none is cut or padded."""
        lengths = (1, MANY_TOKENS, 2, 1, 513)
        rows = [
            Row(f"{n}", exact_vectors(np.arange(length * DIMENSION).reshape(length, DIMENSION)))
            for n, length in enumerate(lengths)
        ]
        write(store, rows)
        assert_same_rows(index_rows(store.load_index(doc_ids=ids_of(rows))), rows)

    def test_any_document_id(self, store: LateStore) -> None:
        """Ids are opaque: quotes, slashes, NUL, other scripts and SQL come back as they are and stay apart."""

        @self.settings()
        @given(st.lists(doc_ids(), min_size=1, max_size=6, unique=True))
        def check(ids: list[str]) -> None:
            clear(store)
            rows = [Row(doc_id, exact_vectors(np.full((1, DIMENSION), n))) for n, doc_id in enumerate(ids)]
            write(store, rows)
            assert_same_rows(index_rows(store.load_index(doc_ids=ids)), rows)
            assert_same_rows(stored(store), rows, ordered=store.capabilities().preserves_insertion_order)
            store.delete(ids[:1])
            assert sorted(ids_of(stored(store))) == sorted(ids[1:])

        check()

    def test_any_text(self, store: LateStore) -> None:
        """Texts come back as they are: empty, long, with NUL and line breaks; no text stays None."""
        texts = (None, *TEXTS, LONG_TEXT, None)
        rows = [Row(f"{n}", exact_vectors(np.ones((1, DIMENSION))), text) for n, text in enumerate(texts)]
        write(store, rows)
        found = store.load_index(doc_ids=ids_of(rows), include_text=True)
        assert_same_rows(index_rows(found), rows)
        assert_same_rows(stored(store, doc_ids=ids_of(rows)), rows, ordered=False)

    def test_any_metadata(self, store: LateStore) -> None:
        """Metadata come back equal and of the same types: 1, 1.0, True and "1" stay apart, null stays null."""

        @self.settings()
        @given(st.lists(metadata_rows(), min_size=1, max_size=4))
        def check(metadata: list[dict[str, object]]) -> None:
            clear(store)
            rows = [Row(f"{n}", exact_vectors(np.ones((1, DIMENSION))), metadata=row) for n, row in enumerate(metadata)]
            write(store, rows)
            assert_same_rows(stored(store), rows, ordered=False)

        check()

    def test_metadata_of_the_documents_themselves(self, store: LateStore) -> None:
        """Metadata that a batch carries are stored where `metadata=` is not given; `metadata=` wins."""
        rows = numbered_rows(3)
        write(store, rows)
        (batch,) = store.documents(batch_size=3)
        clear(store)
        store.upsert(batch)
        assert_same_rows(stored(store), rows, ordered=False)
        store.upsert(batch, metadata=[{"new": 1}, None, {}])
        by_id = {row.doc_id: row.metadata for row in stored(store)}
        assert [by_id[doc_id] for doc_id in batch.doc_ids] == [{"new": 1}, {}, {}]

    def test_texts_are_loaded_on_request_only(self, store: LateStore) -> None:
        """`load_index` gives texts with `include_text=True` only, and None where no document has one."""
        rows = numbered_rows(3)
        write(store, rows)
        assert store.load_index().doc_texts is None
        loaded = store.load_index(doc_ids=ids_of(rows), include_text=True)
        assert loaded.doc_texts == tuple(row.text for row in rows)
        write(store, [Row(row.doc_id, row.vectors) for row in rows])
        assert store.load_index(include_text=True).doc_texts is None

    def test_export_equals_load(self, store: LateStore) -> None:
        """`documents()` and `load_index()` give the same documents in the same order."""
        write(store, numbered_rows(7))
        index = store.load_index(include_text=True)
        assert_same_rows(stored(store), index_rows(index), metadata=False)
        some = [index.doc_ids[4], index.doc_ids[1]]
        loaded = store.load_index(doc_ids=some, include_text=True)
        assert_same_rows(stored(store, doc_ids=some), index_rows(loaded), ordered=False, metadata=False)

    def test_export_in_batches(self, store: LateStore) -> None:
        """`documents()` fills every batch but the last to `batch_size`, and refuses sizes below one."""
        rows = numbered_rows(7)
        write(store, rows)
        for size in (1, 3, 7, 100):
            batches = list(store.documents(batch_size=size))
            sizes = [batch.document_count for batch in batches]
            assert sizes == [size] * (7 // size) + ([7 % size] if 7 % size else [])
            assert_same_rows([row for batch in batches for row in batch_rows(batch)], rows, ordered=False)
        with pytest.raises(InvalidInputError):
            list(store.documents(batch_size=0))

    def test_layouts(self, store: LateStore) -> None:
        """Every declared layout loads the same values; others, and unknown names, are refused."""
        rows = numbered_rows(3, dim=128)
        write(store, rows)
        for layout in store.capabilities().supported_layouts:
            index = store.load_index(doc_ids=ids_of(rows), layout=layout)
            assert index.layout == layout
            assert_same_rows(
                [Row(row.doc_id, row.vectors) for row in index_rows(index)],
                [Row(row.doc_id, row.vectors) for row in rows],
            )
        with pytest.raises(InvalidInputError):
            store.load_index(layout="no_such_layout")

    def test_flat_layout_needs_its_dimension(self, store: LateStore) -> None:
        """A flat layout of another dimension than 128 is refused, not reshaped."""
        store.upsert(as_documents(numbered_rows(2)))
        for layout in set(store.capabilities().supported_layouts) - {"packed"}:
            with pytest.raises(InvalidInputError):
                store.load_index(layout=layout)


def _needs_dtype(store: LateStore, vector_dtype: str) -> None:
    kept = store.stats().vector_dtype
    if kept != vector_dtype:
        pytest.skip(f"the store keeps {kept} (stats().vector_dtype)")
    assert vector_dtype in store.capabilities().vector_dtypes
