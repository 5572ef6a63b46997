"""Keeps the slices of a store that were loaded last, until the store changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import attrs

from kayak.contracts import LateStore, Where, parse_where
from kayak.typing import DocIdsInput, MetadataFilterInput
from kayak.values import LateIndex
from kayak.values.coerce import document_ids

MAX_SLICES = 8


@attrs.frozen
class Selection:
    """Which documents of a store are searched, and how they are loaded.

    Attributes:
        doc_ids: restriction to these ids, in this order; None means all.
        where: metadata filter; None means all.
        include_text: whether texts are loaded.
        layout: layout of the loaded index.
    """

    doc_ids: tuple[str, ...] | None
    where: Where | None
    include_text: bool
    layout: str

    @classmethod
    def of(
        cls, doc_ids: DocIdsInput | None, where: MetadataFilterInput, *, include_text: bool, layout: str
    ) -> Selection:
        """Validate and freeze a selection.

        Raises:
            InvalidTypeError, InvalidInputError: malformed ids.
            FilterError: a malformed filter.
        """
        ids = None if doc_ids is None else document_ids(doc_ids)
        return cls(ids, parse_where(where), include_text, layout)

    def load(self, store: LateStore) -> LateIndex:
        """Load the selection from the store; see `LateStore.load_index`."""
        where = None if self.where is None else self.where.to_dict()
        return store.load_index(doc_ids=self.doc_ids, where=where, include_text=self.include_text, layout=self.layout)


class SliceCache:
    """The slices loaded last, valid for one generation of the store. Safe from several threads.

    A store that does not report generations is read at every search.

    Args:
        store: the store to load from.
        before_load: called before anything is loaded; raises where loading would be wrong.
    """

    def __init__(self, store: LateStore, before_load: Callable[[], None]) -> None:
        self._store = store
        self._before_load = before_load
        self._lock = threading.RLock()
        self._generation: int | str | None = None
        self._slices: OrderedDict[Hashable, LateIndex] = OrderedDict()

    def load(self, selection: Selection) -> LateIndex:
        """Return the selection as an index, loading it only if the store has changed since.

        Raises:
            EmptySelectionError: nothing is selected.
            StoreError: the store cannot be read.
        """
        with self._lock:
            generation = self._store.generation()  # before the load: at worst a fresh slice is loaded once more
            if generation != self._generation:
                self._slices.clear()
                self._generation = generation
            known = self._slices.get(selection)
            if known is not None:
                self._slices.move_to_end(selection)
                return known
            self._before_load()
            index = selection.load(self._store)
            if generation is not None:
                self._slices[selection] = index
                while len(self._slices) > MAX_SLICES:
                    self._slices.popitem(last=False)
            return index

    def clear(self) -> None:
        """Forget the loaded slices."""
        with self._lock:
            self._slices.clear()
            self._generation = None
