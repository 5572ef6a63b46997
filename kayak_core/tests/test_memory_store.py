"""What the memory store promises beyond the conformance suite, and what `BaseLateStore` gives a minimal store."""

from __future__ import annotations

import contextlib
import threading
from functools import partial

import kayak
import numpy as np
import pytest
from kayak.testing import StoreConformance
from kayak.testing.threads import run_together


def batch(doc_id="a", *, dim=2, value=1.0, text=None):
    return kayak.documents([doc_id], [np.full((3, dim), value)], texts=None if text is None else [text])


def test_is_registered_and_takes_no_arguments():
    assert isinstance(kayak.open_store("memory"), kayak.MemoryLateStore)
    with pytest.raises(kayak.InvalidTypeError, match=r"open_store\('memory'\).*path"):
        kayak.open_store("memory", path="x")


def test_stats_count_bytes_of_vectors_and_texts():
    with kayak.MemoryLateStore() as store:
        store.upsert(batch(text="é"))
        stats = store.stats()
        assert stats.storage_byte_size == 3 * 2 * 4 + 2
        assert stats.reclaimable_byte_size == 0
        assert stats.kind == "memory"
        assert not store.capabilities().persistent


def test_an_empty_store_takes_any_dimension_again():
    with kayak.MemoryLateStore() as store:
        store.upsert(batch(dim=2))
        store.delete(["a"])
        assert store.stats().vector_dim is None
        store.upsert(batch(dim=5))
        assert store.stats().vector_dim == 5


def test_errors_say_what_to_do():
    store = kayak.MemoryLateStore()
    with pytest.raises(kayak.EmptySelectionError, match=r"'memory' holds no documents; upsert some first"):
        store.load_index()
    store.upsert(batch())
    with pytest.raises(kayak.EmptySelectionError, match=r"doc_ids \(1 given\) and where=\{'x': 1\}"):
        store.load_index(doc_ids=["a"], where={"x": 1})
    with pytest.raises(
        kayak.InvalidInputError, match=r"'b' has vectors of dimension 3, but the store holds dimension 2"
    ):
        store.upsert(batch("b", dim=3))
    with pytest.raises(kayak.InvalidTypeError, match=r"upsert expects LateDocuments, got dict.*kayak\.documents"):
        store.upsert({"a": [[1.0]]})
    with pytest.raises(kayak.InvalidTypeError, match="a fingerprint is a string, got int"):
        store.set_encoder_fingerprint(3)
    store.close()
    with pytest.raises(kayak.StoreClosedError, match=r"'memory' is closed; open it again"):
        store.load_index()


def test_threads_cannot_mix_dimensions():
    """Of two first batches of different dimensions that arrive together, one is refused."""
    meeting = threading.Barrier(2)

    class Meeting(kayak.MemoryLateStore):
        def vector_dim(self):
            known = super().vector_dim()
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(0.2)  # would let the other writer look too, before either writes
            return known

    store = Meeting()

    def write(dim):
        try:
            store.upsert(batch(f"{dim}", dim=dim))
        except kayak.InvalidInputError:
            return 0
        return 1

    assert sum(run_together([partial(write, dim) for dim in (1, 2)])) == 1
    assert store.stats().document_count == 1


def test_generation_stays_where_nothing_changes():
    with kayak.MemoryLateStore() as store:
        store.upsert(batch())
        before = store.generation()
        store.delete(["unknown"])
        assert store.generation() == before


def test_texts_are_kept_for_the_documents_that_have_one():
    with kayak.MemoryLateStore() as store:
        store.upsert(batch("a", text="wing"))
        store.upsert(batch("b"))
        assert store.load_index(include_text=True).doc_texts == ("wing", None)


class Shelf(kayak.BaseLateStore):
    """The smallest store: three methods over a dict."""

    kind = "shelf"
    persistent = False

    def __init__(self):
        self.rows = {}
        self.lock = threading.Lock()

    def write_documents(self, rows):
        with self.lock:
            self.rows = self.rows | {row.doc_id: row for row in rows}

    def delete_documents(self, doc_ids):
        with self.lock:
            self.rows = {key: row for key, row in self.rows.items() if key not in set(doc_ids)}

    def read_documents(self, doc_ids, where):
        return list(self.rows.values())


class TestMinimalStore(StoreConformance):
    """`BaseLateStore` makes a whole store of three methods."""

    @pytest.fixture
    def store(self):
        return Shelf()


def test_a_minimal_store_declares_no_more_than_it_has():
    store = Shelf()
    offered = store.capabilities()
    assert offered.native_candidates == "none"
    assert not offered.stores_encoder_fingerprint
    with pytest.raises(kayak.UnsupportedOperationError, match=r"no search of its own.*exact_full_scan_search_plan"):
        store.search_candidates(kayak.query([[1.0]]), k=1)
    with pytest.raises(kayak.UnsupportedOperationError, match="cannot remember its encoder"):
        store.set_encoder_fingerprint("x")
    with pytest.raises(kayak.UnsupportedOperationError, match="no search of its own"):
        kayak.search_with_plan(kayak.query([[1.0]]), store, kayak.store_native_search_plan(1, 2))


def test_a_store_with_undeclared_capabilities_skips_and_passes():
    """A store that declares less is held to less: no filters, no subsets, no atomic batches, no insertion order."""

    class Modest(Shelf):
        def capabilities(self):
            return kayak.StoreCapabilities(
                self.kind,
                persistent=False,
                supports_metadata_filter=False,
                supports_document_subset_load=False,
                atomic_upsert=False,
            )

        def _select(self, doc_ids, where):
            if where is not None:
                raise kayak.UnsupportedOperationError("store 'shelf' does not filter")
            if doc_ids is not None:
                raise kayak.UnsupportedOperationError("store 'shelf' does not select")
            return super()._select(doc_ids, where)

    suite = StoreConformance()
    suite.test_undeclared_selections_are_refused(Modest())
    for check in (
        suite.test_filter_logic,
        suite.test_doc_ids_give_the_order,
        suite.test_random_filters,
        suite.test_failed_batch_leaves_nothing,
    ):
        with pytest.raises(pytest.skip.Exception):
            check(Modest())
    suite.test_empty_selection(Modest())
    suite.test_readers_see_whole_documents(Modest())
