"""A state machine that drives a store and `MemoryLateStore` through the same changes and compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kayak.builtin.memory_store import MemoryLateStore
from kayak.contracts import LateStore, StoreCapabilities
from kayak.errors import EmptySelectionError, InvalidInputError
from kayak.testing.rows import (
    DIMENSION,
    Row,
    as_documents,
    assert_same_rows,
    clear,
    exact_vectors,
    ids_of,
    index_rows,
    stored,
    write,
)
from kayak.testing.strategies import metadata_rows, where_filters

IDS = ("a", "b", "c", "A", "a ", "é", "'; --", "a/b")
_ids = st.sampled_from(IDS)
_id_lists = st.lists(_ids, max_size=5, unique=True)


@st.composite
def _rows(draw: st.DrawFn) -> Row:
    length = draw(st.integers(1, 3))
    values = draw(st.lists(st.integers(-8, 8), min_size=length, max_size=length))
    vectors = exact_vectors(np.repeat(np.array(values)[:, np.newaxis], DIMENSION, axis=1))
    text = draw(st.sampled_from((None, "", "wing", "naïve")))
    return Row(draw(_ids), vectors, text, draw(metadata_rows(keys=("year", "topic", "a.b"))))


_batches = st.lists(_rows(), min_size=1, max_size=4, unique_by=lambda row: row.doc_id)


class StoreMachine(RuleBasedStateMachine):
    """Upserts, deletions, filters, loads and reopening, compared with `MemoryLateStore` after each step.

    Args:
        box: a list holding the store; reopening replaces it there.
        reopen: opens the store's data again, or None.
    """

    def __init__(self, box: list[LateStore], reopen: Callable[[LateStore], LateStore] | None) -> None:
        super().__init__()
        self._box = box
        self._reopen = reopen
        self._model = MemoryLateStore()
        self._capabilities: StoreCapabilities = self._store.capabilities()
        clear(self._store)

    @property
    def _store(self) -> LateStore:
        return self._box[0]

    @rule(batch=_batches)
    def upsert(self, batch: list[Row]) -> None:
        """Insert or replace a batch."""
        for store in (self._store, self._model):
            write(store, batch)

    @rule(ids=_id_lists)
    def delete(self, ids: list[str]) -> None:
        """Delete some ids, known or not."""
        for store in (self._store, self._model):
            store.delete(ids)

    @rule(batch=_batches)
    def upsert_malformed(self, batch: list[Row]) -> None:
        """Offer a batch that must be refused."""
        metadata: list[dict[str, Any]] = [{} for _ in batch]
        metadata[-1] = {"x": float("inf")}
        with pytest.raises(InvalidInputError):
            self._store.upsert(as_documents(batch), metadata=metadata)

    @precondition(lambda self: self._capabilities.supports_metadata_filter)
    @rule(where=where_filters(keys=("year", "topic", "a.b")))
    def filter(self, where: dict[str, Any]) -> None:
        """Export what a filter selects."""
        self._compare(where=where)

    @precondition(lambda self: self._capabilities.supports_document_subset_load)
    @rule(ids=_id_lists)
    def load_subset(self, ids: list[str]) -> None:
        """Load some ids, known or not, in their order."""
        try:
            expected = self._model.load_index(doc_ids=ids, include_text=True)
        except EmptySelectionError:
            with pytest.raises(EmptySelectionError):
                self._store.load_index(doc_ids=ids, include_text=True)
        else:
            found = self._store.load_index(doc_ids=ids, include_text=True)
            assert_same_rows(index_rows(found), index_rows(expected))

    @precondition(lambda self: self._reopen is not None)
    @rule()
    def reopen(self) -> None:
        """Open the data again."""
        if self._reopen is not None:
            self._box[0] = self._reopen(self._store)

    @invariant()
    def agrees(self) -> None:
        """Both hold the same documents, and count them alike."""
        self._compare()
        mine, theirs = self._store.stats(), self._model.stats()
        for name in ("document_count", "total_vector_count", "has_texts", "has_metadata"):
            assert getattr(mine, name) == getattr(theirs, name), f"stats().{name} is {getattr(mine, name)}"

    def _compare(self, **selection: Any) -> None:
        ordered = self._capabilities.preserves_insertion_order
        found = stored(self._store, **selection)
        assert_same_rows(found, stored(self._model, **selection), ordered=ordered)
        if found:
            assert list(self._store.load_index(**selection).doc_ids) == ids_of(found)


def store_machine(box: list[LateStore], reopen: Callable[[LateStore], LateStore] | None) -> type[RuleBasedStateMachine]:
    """Return a machine class, as Hypothesis wants one, that drives the store in `box`."""

    class BoundStoreMachine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(box, reopen)

    return BoundStoreMachine
