"""Stores: the protocol that every store fulfils, and how it describes itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

import attrs

from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.where import Where
from kayak.typing import DocIdsInput, MetadataFilterInput, MetadataRowsInput
from kayak.values import INDEX_LAYOUTS, PACKED_LAYOUT, LateDocuments, LateIndex, LateQuery

DEFAULT_EXPORT_BATCH = 1024
"""Documents a batch of `LateStore.documents`, unless told otherwise."""


@attrs.frozen
class StoreCapabilities:
    """What a store can do; conformance tests skip by these declarations only.

    Attributes:
        kind: the store's kind.
        persistent: whether documents survive `close()`.
        supports_metadata_filter: whether `where` works.
        supports_document_subset_load: whether `doc_ids` works.
        supported_layouts: index layouts that `load_index` gives.
        native_candidates: what `search_candidates` is: "none", "approximate", or "exact" MaxSim.
        filter_pushdown: filter operators that the engine evaluates itself; the others are evaluated in the client.
        atomic_upsert: whether a failed upsert leaves the previous state of the whole batch.
        preserves_insertion_order: whether documents come back in the order of their first insertion; otherwise
            the order is the store's own, the same from call to call while nothing changes.
        vector_dtypes: element types in which vectors can be stored.
        stores_encoder_fingerprint: whether the corpus remembers its encoder.
        reports_generation: whether `generation()` tells when the content changes.
        postings: the score by which `search_postings` ranks documents: "max", the greatest weight for each query
            vector, summed; "sum", the sum of all weights; "bm25", the engine's text score; "none": no such search.
    """

    kind: str
    persistent: bool
    supports_metadata_filter: bool = True
    supports_document_subset_load: bool = True
    supported_layouts: tuple[str, ...] = INDEX_LAYOUTS
    native_candidates: Literal["none", "approximate", "exact"] = "none"
    filter_pushdown: tuple[str, ...] = ()
    atomic_upsert: bool = True
    preserves_insertion_order: bool = False
    vector_dtypes: tuple[str, ...] = ("float32",)
    stores_encoder_fingerprint: bool = False
    reports_generation: bool = False
    postings: Literal["none", "max", "sum", "bm25"] = "none"


@attrs.frozen
class LateStoreStats:
    """What a store holds.

    Attributes:
        kind: the store's kind.
        document_count: number of documents.
        total_vector_count: number of token vectors.
        vector_dim: their dimension; None for an empty store that has not fixed one.
        has_texts: whether any document has a text.
        has_metadata: whether any document has metadata.
        storage_byte_size: bytes used on disk or in the database; None where unknown.
        vector_dtype: stored element type.
        reclaimable_byte_size: bytes that compaction would free; None where unknown.
        encoder_fingerprint: what encoded the corpus, where the store knows.
    """

    kind: str
    document_count: int
    total_vector_count: int
    vector_dim: int | None
    has_texts: bool
    has_metadata: bool
    storage_byte_size: int | None
    vector_dtype: str = "float32"
    reclaimable_byte_size: int | None = None
    encoder_fingerprint: str | None = None


@runtime_checkable
class LateStore(Protocol):
    """Keeps documents with their token vectors, texts and metadata, and loads them as indexes.

    `kayak.BaseLateStore` implements all of it from three methods.
    """

    def upsert(self, documents: LateDocuments, *, metadata: MetadataRowsInput = None) -> None:
        """Insert documents, or replace those whose ids are known: vectors, text and metadata together.

        Args:
            documents: the documents; their own `metadata` is stored where `metadata` is not given.
            metadata: one row (or None) a document.

        Raises:
            InvalidInputError: misaligned or malformed metadata, or another dimension than the store's.
            StoreError: the store cannot be written.
        """

    def delete(self, doc_ids: DocIdsInput) -> None:
        """Delete documents; ids that are not in the store are ignored."""

    def load_index(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool = False,
        layout: str = PACKED_LAYOUT,
    ) -> LateIndex:
        """Load the selected documents as an index.

        Args:
            doc_ids: restricts the selection to these ids and gives the order; unknown ids select nothing.
            where: restricts it to documents whose metadata match.
            include_text: whether the index carries texts.
            layout: the index's layout.

        Raises:
            EmptySelectionError: nothing is selected.
            FilterError: `where` is malformed.
        """

    def documents(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        batch_size: int = DEFAULT_EXPORT_BATCH,
    ) -> Iterator[LateDocuments]:
        """Export the selected documents, with texts and metadata, in batches of bounded size."""

    def search_candidates(
        self,
        query: LateQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best candidates, chosen inside the store.

        Raises:
            UnsupportedOperationError: the store declares `native_candidates = "none"`.
        """

    def split_filter(self, where: Where) -> tuple[Where | None, Where | None]:
        """Divide a filter into the part that the engine evaluates and the part left to the client.

        A document matches the filter exactly when it matches both; None matches every document.
        """

    def stats(self) -> LateStoreStats:
        """Return what the store holds."""

    def capabilities(self) -> StoreCapabilities:
        """Return what the store can do."""

    def generation(self) -> int | str | None:
        """Return a value that changes whenever the content does, cheaply; None where the store cannot tell."""

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, or None where unknown."""

    def set_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus.

        Raises:
            UnsupportedOperationError: the store declares `stores_encoder_fingerprint=False`.
            InvalidTypeError: not a string.
            InvalidInputError: not UTF-8.
        """

    def close(self) -> None:
        """Release the store's resources; further use raises `StoreClosedError`. May be called again."""

    def __enter__(self) -> Self:
        """Return the store."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
