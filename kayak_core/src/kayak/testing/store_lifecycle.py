"""Store checks: closing, reopening, statistics, capabilities, generation and the encoder's fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kayak.contracts import LateStore, LateStoreStats, StoreCapabilities
from kayak.errors import InvalidInputError, InvalidTypeError, StoreClosedError, UnsupportedOperationError
from kayak.testing.reopening import Reopen, Reopening, required
from kayak.testing.rows import DIMENSION, assert_same_rows, clear, ids_of, numbered_rows, stored, write
from kayak.values import INDEX_LAYOUTS, query
from kayak.values.element_types import VECTOR_DTYPES


class StoreLifecycle(Reopening):
    """The store as an object."""

    def test_follows_the_protocol(self, store: LateStore) -> None:
        """The object offers every method of `LateStore`."""
        assert isinstance(store, LateStore)

    def test_close(self, store: LateStore) -> None:
        """`close` may be called again, and every other method then raises `StoreClosedError`."""
        rows = numbered_rows(2)
        write(store, rows)
        store.close()
        store.close()
        uses: list[Callable[[], Any]] = [
            lambda: write(store, rows),
            lambda: store.delete(["doc-0"]),
            store.load_index,
            lambda: list(store.documents()),
            store.stats,
            store.generation,
            store.encoder_fingerprint,
            store.__enter__,
        ]
        if store.capabilities().native_candidates != "none":
            uses.append(lambda: store.search_candidates(query([[1.0] * DIMENSION]), k=1))
        for use in uses:
            with pytest.raises(StoreClosedError):
                use()

    def test_context_manager(self, store: LateStore) -> None:
        """`with store` gives the store itself and closes it, also after an error, which passes through."""
        with store as entered:
            assert entered is store
            write(store, numbered_rows(1))
        with pytest.raises(StoreClosedError):
            store.load_index()

    def test_context_manager_lets_errors_through(self, store: LateStore) -> None:
        """An error inside `with store` closes the store and is not swallowed."""
        with pytest.raises(ZeroDivisionError), store:
            raise ZeroDivisionError
        with pytest.raises(StoreClosedError):
            store.stats()

    def test_documents_survive_closing(self, store: LateStore, reopened: Reopen | None) -> None:
        """A persistent store, opened again, holds the same documents in the same order, and goes on from there."""
        if not store.capabilities().persistent:
            pytest.skip("the store does not declare persistent")
        rows = numbered_rows(6)
        write(store, rows)
        write(store, numbered_rows(2, version=4))
        store.delete(["doc-5"])
        before = stored(store)
        offered = store.capabilities()
        if offered.stores_encoder_fingerprint:
            store.set_encoder_fingerprint("model-1")
        generation, stats = store.generation(), store.stats()
        with required(reopened)(store) as again:
            assert_same_rows(stored(again), before)
            assert again.capabilities() == offered
            assert again.generation() == generation
            assert again.stats().document_count == stats.document_count
            assert again.stats().total_vector_count == stats.total_vector_count
            assert again.stats().vector_dim == DIMENSION
            assert again.encoder_fingerprint() == ("model-1" if offered.stores_encoder_fingerprint else None)
            with pytest.raises(InvalidInputError):
                write(again, numbered_rows(1, dim=DIMENSION + 1))
            write(again, numbered_rows(1, prefix="new"))
            assert sorted(ids_of(stored(again))) == sorted([*ids_of(before), "new0"])

    def test_stats(self, store: LateStore) -> None:
        """`stats` counts what is there after inserting, replacing and deleting."""
        empty = store.stats()
        assert isinstance(empty, LateStoreStats)
        assert (empty.document_count, empty.total_vector_count) == (0, 0)
        assert (empty.has_texts, empty.has_metadata) == (False, False)
        rows = numbered_rows(5)  # 1, 2, 3, 1 and 2 vectors
        write(store, rows)
        write(store, numbered_rows(2, version=1))
        store.delete(["doc-2", "unknown"])
        stats = store.stats()
        assert (stats.document_count, stats.total_vector_count, stats.vector_dim) == (4, 6, DIMENSION)
        assert (stats.has_texts, stats.has_metadata) == (True, True)
        assert stats.kind == store.capabilities().kind
        assert stats.vector_dtype in store.capabilities().vector_dtypes
        assert stats.vector_dtype == store.load_index().vector_dtype
        for size in (stats.storage_byte_size, stats.reclaimable_byte_size):
            assert size is None or size >= 0
        assert stats.storage_byte_size is None or stats.storage_byte_size > 0
        store.upsert(next(iter(store.documents())).with_texts(None), metadata=[None] * 4)
        bare = store.stats()
        assert (bare.has_texts, bare.has_metadata) == (False, False)

    def test_capabilities(self, store: LateStore) -> None:
        """`capabilities` uses known words, and stays the same while documents come and go."""
        before = store.capabilities()
        assert isinstance(before, StoreCapabilities)
        assert before.kind
        assert before.native_candidates in ("none", "approximate", "exact")
        assert before.supported_layouts
        assert set(before.supported_layouts) <= set(INDEX_LAYOUTS)
        assert before.vector_dtypes
        assert set(before.vector_dtypes) <= set(VECTOR_DTYPES)
        operators = "$eq $ne $in $nin $gt $gte $lt $lte $exists $and $or $not".split()
        assert set(before.filter_pushdown) <= set(operators)
        write(store, numbered_rows(2))
        assert store.capabilities() == before

    def test_generation(self, store: LateStore) -> None:
        """If declared, `generation` changes with every change of content and with nothing else; else it is None."""
        if not store.capabilities().reports_generation:
            assert store.generation() is None
            pytest.skip("the store does not declare reports_generation")
        seen = [store.generation()]
        changes: list[Callable[[], None]] = [
            lambda: write(store, numbered_rows(3)),
            lambda: write(store, numbered_rows(1, version=1)),
            lambda: store.upsert(next(iter(store.documents())), metadata=[{"new": 1}] * 3),
            lambda: store.delete(["doc-1"]),
            lambda: clear(store),
        ]
        for change in changes:
            change()
            now = store.generation()
            assert now is not None
            assert now not in seen, "the content changed, the generation did not"
            seen.append(now)
            list(store.documents())
            store.stats()
            assert store.generation() == now, "reading changed the generation"

    def test_encoder_fingerprint(self, store: LateStore) -> None:
        """If declared, the store remembers what encoded its corpus; else it says that it cannot."""
        assert store.encoder_fingerprint() is None
        if not store.capabilities().stores_encoder_fingerprint:
            with pytest.raises(UnsupportedOperationError):
                store.set_encoder_fingerprint("model-1")
            return
        for fingerprint in ("model-1", "模型 'two' \U0001f600"):
            store.set_encoder_fingerprint(fingerprint)
            assert store.encoder_fingerprint() == fingerprint
            write(store, numbered_rows(2))
            assert store.encoder_fingerprint() == fingerprint
            assert store.stats().encoder_fingerprint == fingerprint
        with pytest.raises(InvalidTypeError):
            store.set_encoder_fingerprint(7)  # type: ignore[arg-type]  # wrong on purpose
