"""`BaseLateStore`: a complete store from three methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from types import TracebackType
from typing import ClassVar, Self

import attrs

from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.store import DEFAULT_EXPORT_BATCH, LateStoreStats, StoreCapabilities
from kayak.contracts.store_checks import (
    checked_fingerprint,
    closed_error,
    deletable_ids,
    dimension_error,
    empty_selection,
)
from kayak.contracts.store_rows import StoredDocument, stored_rows
from kayak.contracts.where import Where, parse_where
from kayak.errors import UnsupportedOperationError
from kayak.typing import DocIdsInput, MetadataFilterInput, MetadataRowsInput
from kayak.values import INDEX_LAYOUTS, PACKED_LAYOUT, LateDocuments, LateIndex, LateQuery, documents
from kayak.values.coerce import document_ids, non_negative_int
from kayak.values.layouts import check_layout


class BaseLateStore(ABC):
    """Implements `LateStore` over three methods that a subclass provides.

    A subclass sets `kind` and implements `write_documents`, `delete_documents` and `read_documents`; it may
    override `release` and anything else that its engine does better (`stats`, `generation`, `search_candidates`,
    …), and then says so in `capabilities`. Input is validated and normalised before those methods see it.

    Attributes:
        kind: name under which the store is registered.
        persistent: whether documents survive `close()`.
    """

    kind: ClassVar[str]
    persistent: ClassVar[bool] = True
    _closed: bool = False

    @abstractmethod
    def write_documents(self, rows: Sequence[StoredDocument]) -> None:
        """Insert or replace the documents, all of them or none. Ids within one call are unique."""

    @abstractmethod
    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete the documents with these ids; unknown ids are no error."""

    @abstractmethod
    def read_documents(self, doc_ids: Sequence[str] | None, where: Where | None) -> Iterable[StoredDocument]:
        """Yield stored documents: all, or those with the given ids (in any order; unknown ids yield nothing).

        `where` is a hint: yield at least the documents whose metadata match. What is yielded is checked again.
        Without `doc_ids`, the order is the same from call to call while nothing changes.
        """

    def release(self) -> None:  # noqa: B027 - optional to override
        """Release resources; called once, by the first `close()`."""

    def vector_dim(self) -> int | None:
        """Return the dimension of the stored vectors, or None for an empty store."""
        first = next(iter(self.read_documents(None, None)), None)
        return None if first is None else int(first.vectors.shape[1])

    def upsert(self, documents: LateDocuments, *, metadata: MetadataRowsInput = None) -> None:
        """Insert documents, or replace those whose ids are known; see `LateStore.upsert`."""
        self._check_open()
        rows = stored_rows(documents, metadata)
        known = self.vector_dim()
        if known is not None and known != documents.vector_dim:
            raise dimension_error(documents, known)
        self.write_documents(rows)

    def delete(self, doc_ids: DocIdsInput) -> None:
        """Delete documents; ids that are not in the store are ignored."""
        self._check_open()
        self.delete_documents(deletable_ids(doc_ids))

    def load_index(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool = False,
        layout: str = PACKED_LAYOUT,
    ) -> LateIndex:
        """Load the selected documents as an index; see `LateStore.load_index`."""
        rows = list(self._select(doc_ids, where))
        if not rows:
            raise empty_selection(self.kind, doc_ids, where)
        if doc_ids is not None:
            place = {doc_id: number for number, doc_id in enumerate(doc_ids)}
            rows.sort(key=lambda row: place[row.doc_id])
        check_layout(layout, INDEX_LAYOUTS, rows[0].vectors.shape[1], "index")
        texts = [row.text for row in rows] if include_text else None
        return documents([r.doc_id for r in rows], [r.vectors for r in rows], texts=texts).to_layout(layout)

    def documents(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        batch_size: int = DEFAULT_EXPORT_BATCH,
    ) -> Iterator[LateDocuments]:
        """Export the selected documents, with texts and metadata, in batches; see `LateStore.documents`."""
        size = non_negative_int(batch_size, "batch_size", minimum=1)
        rows = iter(self._select(doc_ids, where))
        return _batches(rows, size)

    def search_candidates(
        self,
        query: LateQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Not offered unless a subclass does; see `LateStore.search_candidates`."""
        raise self._no_native_search()

    def split_filter(self, where: Where) -> tuple[Where | None, Where | None]:
        """Divide a filter by the declared `filter_pushdown`; override where an operand decides too."""
        return where.split(frozenset(self.capabilities().filter_pushdown))

    def stats(self) -> LateStoreStats:
        """Count what the store holds, by reading it; override where the engine counts faster."""
        count = vectors = 0
        dim: int | None = None
        has_texts = has_metadata = False
        for row in self._select(None, None):
            count += 1
            vectors += row.vectors.shape[0]
            dim = row.vectors.shape[1]
            has_texts = has_texts or row.text is not None
            has_metadata = has_metadata or bool(row.metadata)
        return LateStoreStats(
            self.kind,
            count,
            vectors,
            dim,
            has_texts,
            has_metadata,
            None,
            encoder_fingerprint=self.encoder_fingerprint(),
        )

    def capabilities(self) -> StoreCapabilities:
        """Return what `BaseLateStore` gives; override with what the engine adds."""
        return StoreCapabilities(self.kind, persistent=self.persistent)

    def generation(self) -> int | str | None:
        """None: the store cannot tell whether its content changed."""
        self._check_open()
        return None

    def encoder_fingerprint(self) -> str | None:
        """None: the store does not remember its encoder."""
        self._check_open()
        return None

    def set_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus; see `LateStore.set_encoder_fingerprint`."""
        self._check_open()
        self.write_encoder_fingerprint(checked_fingerprint(fingerprint))

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Keep the fingerprint, which is UTF-8; not offered unless a subclass does."""
        raise UnsupportedOperationError(
            f"store {self.kind!r} cannot remember its encoder (stores_encoder_fingerprint=False)"
        )

    def close(self) -> None:
        """Release the store's resources; further use raises `StoreClosedError`. May be called again."""
        if not self._closed:
            self._closed = True
            self.release()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _no_native_search(self) -> UnsupportedOperationError:
        return UnsupportedOperationError(
            f"store {self.kind!r} has no search of its own (native_candidates='none'); use "
            "exact_full_scan_search_plan or document_proxy_search_plan over it instead"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.kind)

    def _select(self, doc_ids: DocIdsInput | None, where: MetadataFilterInput) -> Iterator[StoredDocument]:
        self._check_open()
        ids = None if doc_ids is None else document_ids(doc_ids)
        condition = parse_where(where)
        wanted = None if ids is None else frozenset(ids)
        return (
            row
            for row in self.read_documents(ids, condition)
            if (wanted is None or row.doc_id in wanted) and (condition is None or condition.matches(row.metadata))
        )


def _batches(rows: Iterator[StoredDocument], size: int) -> Iterator[LateDocuments]:
    while batch := list(islice(rows, size)):
        exported = documents(
            [row.doc_id for row in batch], [row.vectors for row in batch], texts=[row.text for row in batch]
        )
        yield attrs.evolve(exported, metadata=tuple(deepcopy(dict(row.metadata)) for row in batch))
