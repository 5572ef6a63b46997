"""`LateTextRetriever`: one encoder, one store, and search over both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Self

from kayak.contracts import (
    LateStore,
    LateStoreStats,
    LateTextEncoder,
    SearchPlan,
    SearchPlanResult,
    StoreCapabilities,
    encoder_fingerprint,
)
from kayak.contracts.metadata import normalize_metadata_rows
from kayak.contracts.search_checks import checked_query
from kayak.errors import EmptySelectionError, EncoderMismatchError, InvalidInputError
from kayak.retrieval.encoding import encode_documents, encode_query, encode_query_batch
from kayak.retrieval.progress import progress_bar
from kayak.retrieval.session import LateTextSearchSession, as_batch
from kayak.retrieval.slices import Selection, SliceCache
from kayak.searching import search, search_batch, search_with_plan
from kayak.typing import (
    DocIdsInput,
    DocTextsInput,
    MetadataFilterInput,
    MetadataRow,
    MetadataRowsInput,
    QueryTextsInput,
    TokenMatrixInput,
)
from kayak.values import LateDocuments, LateIndex, LateQuery, LateQueryBatch, SearchHit
from kayak.values.coerce import document_ids, non_negative_int, string_tuple

DEFAULT_UPSERT_BATCH = 256
"""Documents encoded and stored at a time by `upsert_texts`, unless told otherwise."""


class LateTextRetriever:
    """Owns text ingest, storage and search: `kayak.open_text_retriever` makes one.

    Every search takes `doc_ids=` and `where=` to restrict it, and `include_text=`, `layout=` and `backend=` to
    override the retriever's defaults. A selection that matches nothing gives no hits. The slice loaded last stays
    in memory until the store's generation changes, so a repeated search of an unchanged store reads nothing again.
    Safe from several threads as far as the encoder is.

    Args:
        encoder: encodes texts.
        store: keeps the documents; closed by `close()` if `owns_store`.
        backend: executor of the searches.
        default_layout: layout in which slices are loaded.
        default_include_text: whether slices carry texts.
        owns_store: whether closing the retriever closes the store.

    Raises:
        EncoderMismatchError: the store's documents were encoded by another encoder.
    """

    def __init__(
        self,
        encoder: LateTextEncoder,
        store: LateStore,
        *,
        backend: str,
        default_layout: str = "packed",
        default_include_text: bool = False,
        owns_store: bool = True,
    ) -> None:
        self.encoder = encoder
        self.store = store
        self.backend = backend
        self.default_layout = default_layout
        self.default_include_text = default_include_text
        self._owns_store = owns_store
        self._slices = SliceCache(store, self._check_fingerprint)
        self._check_fingerprint()

    def upsert_texts(
        self,
        doc_ids: DocIdsInput,
        texts: DocTextsInput,
        *,
        metadata: MetadataRowsInput = None,
        batch_size: int = DEFAULT_UPSERT_BATCH,
        show_progress: bool | None = None,
    ) -> None:
        """Encode texts and insert them, or replace the documents whose ids are known.

        Everything is validated before the first document is encoded. Each batch is stored as a whole; if a later
        one fails, the earlier ones stay.

        Args:
            doc_ids: unique, non-empty ids.
            texts: one text a document.
            metadata: one row (or None) a document.
            batch_size: documents encoded and stored at a time, ≥ 1.
            show_progress: True shows a progress bar, False none; None shows one on a terminal with tqdm installed.

        Raises:
            InvalidTypeError, InvalidInputError: malformed or misaligned ids, texts or metadata.
            EncodingError: a text cannot be encoded; the message names it.
            EncoderMismatchError: the store's documents were encoded by another encoder.
            StoreError: the store cannot be written.
        """
        size = non_negative_int(batch_size, "batch_size", minimum=1)
        ids = document_ids(doc_ids)
        given = string_tuple(texts, "texts")
        if len(ids) != len(given):
            raise InvalidInputError(f"{len(given)} texts for {len(ids)} doc_ids; give one text a document")
        rows = normalize_metadata_rows(metadata, document_count=len(ids), doc_ids=ids) or (None,) * len(ids)
        self._upsert(zip(ids, given, rows, strict=True), len(ids), size, show_progress)

    def upsert_text_stream(
        self,
        documents: Iterable[tuple[str, str, MetadataRow | None]],
        *,
        total: int | None = None,
        batch_size: int = DEFAULT_UPSERT_BATCH,
        show_progress: bool | None = None,
    ) -> int:
        """Encode and store documents as they come, in bounded memory.

        An id that comes again later replaces the earlier document.

        Args:
            documents: (id, text, metadata row or None) triples.
            total: how many will come, for the progress bar.
            batch_size: documents encoded and stored at a time, ≥ 1.
            show_progress: as in `upsert_texts`.

        Returns:
            How many documents came.

        Raises:
            InvalidTypeError, InvalidInputError, EncodingError: a malformed document; the message names it.
            EncoderMismatchError, StoreError: see `upsert_texts`. Batches stored before the error stay.
        """
        size = non_negative_int(batch_size, "batch_size", minimum=1)
        return self._upsert(documents, total, size, show_progress)

    def delete(self, doc_ids: DocIdsInput) -> None:
        """Delete documents; ids that are not in the store are ignored."""
        self.store.delete(doc_ids)

    def load_index(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
    ) -> LateIndex:
        """Load a slice of the store as an index; see `LateStore.load_index`.

        Raises:
            EmptySelectionError: nothing is selected.
        """
        return self._slices.load(self._selection(doc_ids, where, include_text, layout))

    def session(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> LateTextSearchSession:
        """Load a slice once and return an object that searches it repeatedly, from any thread.

        Raises:
            EmptySelectionError: nothing is selected.
        """
        index = self.load_index(doc_ids=doc_ids, where=where, include_text=include_text, layout=layout)
        return LateTextSearchSession(self.encoder, index, backend or self.backend)

    def encode_query(self, text: str) -> LateQuery:
        """Encode one query, storing nothing."""
        return encode_query(self.encoder, text)

    def encode_document_vectors(self, text: str) -> TokenMatrixInput:
        """Encode one document's token vectors, storing nothing."""
        return self.encoder.encode_document_vectors(text)

    def encode_documents(self, doc_ids: DocIdsInput, texts: DocTextsInput) -> LateDocuments:
        """Encode documents, storing nothing."""
        return encode_documents(self.encoder, doc_ids, texts)

    def search_text(
        self,
        text: str,
        *,
        k: int,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> tuple[SearchHit, ...]:
        """Encode a text and return the `k` best documents by exact MaxSim, best first.

        Raises:
            InvalidTypeError, InvalidInputError, FilterError: malformed arguments.
            EncodingError: the text cannot be encoded.
            EncoderMismatchError: the store's documents were encoded by another encoder.
            StoreError: the store cannot be read.
        """
        return self.search_query(
            encode_query(self.encoder, text),
            k=k,
            doc_ids=doc_ids,
            where=where,
            include_text=include_text,
            layout=layout,
            backend=backend,
        )

    def search_query(
        self,
        query: LateQuery,
        *,
        k: int,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> tuple[SearchHit, ...]:
        """Return the `k` best documents for an encoded query by exact MaxSim; raises as `search_text`."""
        checked_query(query)
        size = non_negative_int(k, "k")
        index = self._slice(doc_ids, where, include_text, layout)
        return () if index is None else search(query, index, k=size, backend=backend or self.backend)

    def search_text_batch(
        self,
        texts: QueryTextsInput,
        *,
        k: int,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """Encode texts and return each one's `k` best documents, in one pass; raises as `search_text`."""
        return self.search_query_batch(
            encode_query_batch(self.encoder, texts),
            k=k,
            doc_ids=doc_ids,
            where=where,
            include_text=include_text,
            layout=layout,
            backend=backend,
        )

    def search_query_batch(
        self,
        queries: LateQueryBatch | Sequence[LateQuery],
        *,
        k: int,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """Return each encoded query's `k` best documents, in one pass; raises as `search_text`."""
        batch = as_batch(queries)
        size = non_negative_int(k, "k")
        index = self._slice(doc_ids, where, include_text, layout)
        if index is None:
            return ((),) * batch.batch_size
        return search_batch(batch, index, k=size, backend=backend or self.backend)

    def search_text_with_plan(
        self,
        text: str,
        plan: SearchPlan,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> SearchPlanResult:
        """Encode a text and run a staged plan over the selected documents; see `kayak.search_with_plan`."""
        return self.search_query_with_plan(
            encode_query(self.encoder, text),
            plan,
            doc_ids=doc_ids,
            where=where,
            include_text=include_text,
            layout=layout,
            backend=backend,
        )

    def search_query_with_plan(
        self,
        query: LateQuery,
        plan: SearchPlan,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool | None = None,
        layout: str | None = None,
        backend: str | None = None,
    ) -> SearchPlanResult:
        """Run a staged plan over the selected documents; see `kayak.search_with_plan`.

        A plan whose first stage runs inside the store searches the store itself; any other plan runs over the
        cached slice, which carries texts where the plan's verifier reads them.
        """
        executor = backend or self.backend
        if isinstance(plan, SearchPlan) and plan.candidate_generator.corpus == "index":
            texts = plan.stage3_verifier.requires_document_texts or include_text
            index = self._slice(doc_ids, where, texts, layout)
            if index is not None:
                return search_with_plan(query, index, plan, backend=executor)
        return search_with_plan(query, self.store, plan, where=where, doc_ids=doc_ids, backend=executor)

    def stats(self) -> LateStoreStats:
        """Return what the store holds."""
        return self.store.stats()

    def capabilities(self) -> StoreCapabilities:
        """Return what the store can do."""
        return self.store.capabilities()

    def close(self) -> None:
        """Forget loaded slices, and close the store if this retriever opened it. May be called again."""
        self._slices.clear()
        if self._owns_store:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"LateTextRetriever(encoder={type(self.encoder).__name__}, store={self.store.capabilities().kind!r}, "
            f"backend={self.backend!r})"
        )

    def _upsert(
        self,
        documents: Iterable[tuple[str, str, MetadataRow | None]],
        total: int | None,
        batch_size: int,
        show_progress: bool | None,
    ) -> int:
        self._check_fingerprint()
        count = 0
        with progress_bar("indexing", total, show_progress) as advance:
            for batch in _batches(iter(documents), batch_size):
                latest = {document[0]: document for document in batch}  # an id that comes again replaces
                ids, texts, rows = zip(*latest.values(), strict=True)
                self.store.upsert(encode_documents(self.encoder, ids, texts), metadata=rows)
                if not count:
                    self._remember_fingerprint()
                count += len(batch)
                advance(len(batch))
        return count

    def _selection(
        self,
        doc_ids: DocIdsInput | None,
        where: MetadataFilterInput,
        include_text: bool | None,
        layout: str | None,
    ) -> Selection:
        texts = self.default_include_text if include_text is None else include_text
        return Selection.of(doc_ids, where, include_text=texts, layout=layout or self.default_layout)

    def _slice(
        self,
        doc_ids: DocIdsInput | None,
        where: MetadataFilterInput,
        include_text: bool | None,
        layout: str | None,
    ) -> LateIndex | None:
        try:
            return self._slices.load(self._selection(doc_ids, where, include_text, layout))
        except EmptySelectionError:
            return None

    def _check_fingerprint(self) -> None:
        if not self.store.capabilities().stores_encoder_fingerprint:
            return
        stored = self.store.encoder_fingerprint()
        mine = encoder_fingerprint(self.encoder)
        if stored is not None and mine is not None and stored != mine:
            raise EncoderMismatchError(
                f"the store's documents were encoded by {stored!r}, but this encoder is {mine!r}; open the retriever "
                "with the same encoder, or index the texts anew into another store"
            )

    def _remember_fingerprint(self) -> None:
        mine = encoder_fingerprint(self.encoder)
        if mine is not None and self.store.capabilities().stores_encoder_fingerprint:
            self.store.set_encoder_fingerprint(mine)


def _batches(
    documents: Iterator[tuple[str, str, MetadataRow | None]], size: int
) -> Iterator[list[tuple[str, str, MetadataRow | None]]]:
    while batch := list(islice(documents, size)):
        yield batch
