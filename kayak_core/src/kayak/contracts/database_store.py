"""`DatabaseLateStore`: a store over a database, which hands out columns, runs filters and chooses candidates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

import kayak  # the lazy public namespace: names the native generator without standing above it
from kayak.contracts.base_store import BaseLateStore
from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.document_batches import matching, metadata_of, rebatched
from kayak.contracts.profile import SearchStageProfile
from kayak.contracts.search_checks import checked_query
from kayak.contracts.store import DEFAULT_EXPORT_BATCH
from kayak.contracts.store_checks import empty_selection
from kayak.contracts.store_rows import StoredDocument
from kayak.contracts.where import Where, parse_where
from kayak.errors import InvalidInputError
from kayak.typing import DocIdsInput, Float32Matrix, MetadataFilterInput
from kayak.values import (
    INDEX_LAYOUTS,
    PACKED_LAYOUT,
    IndexSlice,
    LateDocuments,
    LateIndex,
    LateQuery,
    LateScores,
    SearchHit,
)
from kayak.values.coerce import document_ids, non_negative_int
from kayak.values.layouts import check_layout


@attrs.frozen
class StoreSelection:
    """What `DatabaseLateStore.read_batches` is asked for.

    Attributes:
        doc_ids: distinct ids, at least one; None for all documents.
        where: the part of the filter that the store said it evaluates itself; None where nothing is left.
        texts: whether the batches must carry texts.
        metadata: whether they must carry metadata rows.
    """

    doc_ids: tuple[str, ...] | None = None
    where: Where | None = None
    texts: bool = True
    metadata: bool = True


@attrs.frozen(eq=False)
class CandidateSearch:
    """What `DatabaseLateStore.find_candidates` is asked for.

    Attributes:
        vectors: the query's token vectors, float32 of shape (query vectors, dimension).
        k: candidates wanted, ≥ 1.
        where: the part of the filter that the store said it evaluates itself.
        doc_ids: distinct ids to choose from, at least one; None for all documents.
    """

    vectors: Float32Matrix
    k: int
    where: Where | None = None
    doc_ids: tuple[str, ...] | None = None


@attrs.frozen(eq=False)
class FoundCandidates:
    """What a database found.

    Attributes:
        doc_ids: distinct ids, best first; at most `k`.
        scores: one score an id, descending. The store documents what they mean.
        document_vector_count: vectors that the database compared, where it is known.
        bytes_read: bytes that came back to the client.
        notes: facts worth knowing, shown in the profile.
    """

    doc_ids: tuple[str, ...]
    scores: Sequence[float] | npt.NDArray[np.floating[Any]]
    document_vector_count: int = 0
    bytes_read: int = 0
    notes: tuple[str, ...] = ()


class DatabaseLateStore(BaseLateStore):
    """A store over a database engine.

    A subclass implements `write_documents`, `delete_documents`, `vector_dim`, `read_batches` and `read_metadata`, and
    says in `capabilities` what else it does. Documents travel as columns: an index is made of the batches as they
    come, without a copy. Filters are divided by `split_filter`: the engine evaluates one part, this class the other.
    """

    @abstractmethod
    def vector_dim(self) -> int | None:
        """Return the dimension of the stored vectors, or None where none is fixed yet. Asked before each write."""

    @abstractmethod
    def read_batches(self, selection: StoreSelection) -> Iterator[LateDocuments]:
        """Yield the selected documents in batches of bounded size (a few MiB), none of them empty.

        With `doc_ids`, in any order; unknown ids yield nothing. Otherwise in an order that is the same from call to
        call while nothing changes. Vectors may be read-only views of the engine's own buffers; metadata rows must be
        the caller's to change.
        """

    @abstractmethod
    def read_metadata(self, selection: StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata of the selected documents, without reading their vectors."""

    def find_candidates(self, search: CandidateSearch) -> FoundCandidates:
        """Search inside the engine; stores that declare `native_candidates` implement it.

        The query has the store's dimension. Fewer than `k` are returned only where fewer are selected.
        """
        raise self._no_native_search()

    def read_documents(self, doc_ids: Sequence[str] | None, where: Where | None) -> Iterable[StoredDocument]:
        """Yield stored documents one by one; see `BaseLateStore.read_documents`."""
        ids = None if doc_ids is None else tuple(doc_ids)
        pushed = None if where is None else self.split_filter(where)[0]
        for batch in self._read(StoreSelection(ids, pushed)):
            texts = batch.texts or (None,) * batch.document_count
            yield from map(StoredDocument, batch.doc_ids, batch.token_matrices, texts, metadata_of(batch))

    def load_index(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool = False,
        layout: str = PACKED_LAYOUT,
    ) -> LateIndex:
        """Load the selected documents as an index of one block a batch; see `LateStore.load_index`."""
        wanted, reading = self._selected(doc_ids, where, texts=include_text, metadata=False)
        batches = list(reading)
        if not batches:
            raise empty_selection(self.kind, doc_ids, where)
        check_layout(layout, INDEX_LAYOUTS, batches[0].vector_dim, "index")
        found = [doc_id for batch in batches for doc_id in batch.doc_ids]
        rows = np.arange(len(found), dtype=np.int64)
        if wanted is not None:
            place = {doc_id: number for number, doc_id in enumerate(wanted)}
            order = np.argsort([place[doc_id] for doc_id in found])
            rows[order] = np.arange(len(found))
            found = [found[number] for number in order.tolist()]
        starts = np.cumsum([0, *(batch.document_count for batch in batches)])
        slices = tuple(
            IndexSlice(batch.block, None, rows[start : start + batch.document_count])
            for batch, start in zip(batches, starts.tolist(), strict=False)
        )
        index = LateIndex(tuple(found), slices, layout)
        if not include_text or all(batch.texts is None for batch in batches):
            return index
        texts: list[str | None] = [None] * len(found)
        for batch, part in zip(batches, slices, strict=True):
            for row, text in zip(part.rows.tolist(), batch.texts or (), strict=False):
                texts[row] = text
        return index.with_texts(texts)

    def documents(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        batch_size: int = DEFAULT_EXPORT_BATCH,
    ) -> Iterator[LateDocuments]:
        """Export the selected documents, with texts and metadata, in batches; see `LateStore.documents`."""
        size = non_negative_int(batch_size, "batch_size", minimum=1)
        return rebatched(self._selected(doc_ids, where, texts=True, metadata=True)[1], size)

    def search_candidates(
        self,
        query: LateQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best candidates, chosen inside the engine; see `LateStore.search_candidates`.

        Where the engine cannot evaluate a part of the filter, the client does so first, over metadata alone, and the
        engine then searches among the documents that are left; the profile's notes say so.
        """
        self._check_open()
        if self.capabilities().native_candidates == "none":
            raise self._no_native_search()
        size = non_negative_int(k, "k", minimum=1)
        generator = kayak.store_native_candidate_generator()
        chosen = self._searched(query, where, doc_ids)
        if chosen is None:
            return CandidateStageResult.empty(generator, self.kind)
        search = CandidateSearch(query.as_vector_matrix(), size, chosen.where, chosen.doc_ids)
        return self._stage_result(generator, query, self.find_candidates(search), filter_notes(chosen.rest))

    def _searched(
        self, query: LateQuery, where: MetadataFilterInput, doc_ids: DocIdsInput | None
    ) -> _SearchedDocuments | None:
        """Return which documents the engine shall search, or None where there are none."""
        self._check_open()
        checked_query(query)
        ids = None if doc_ids is None else document_ids(doc_ids)
        condition = parse_where(where)
        dim = self.vector_dim()
        if dim is not None and dim != query.vector_dim:
            raise InvalidInputError(
                f"the query has dimension {query.vector_dim}, but store {self.kind!r} holds dimension {dim}; encode "
                "queries and documents with the same encoder"
            )
        pushed, rest = (None, None) if condition is None else self.split_filter(condition)
        if rest is not None and ids != () and dim is not None:
            rows = self.read_metadata(StoreSelection(ids, pushed))
            ids = tuple(doc_id for doc_id, metadata in rows if rest.matches(metadata))
            pushed = None
        return None if dim is None or ids == () else _SearchedDocuments(pushed, ids, rest)

    def _stage_result(
        self, generator: Any, query: LateQuery, found: FoundCandidates, notes: tuple[str, ...]
    ) -> CandidateStageResult:
        scores = LateScores.from_values(self.kind, found.doc_ids, np.asarray(found.scores, dtype=np.float32))
        profile = SearchStageProfile(
            generator.kind,
            0,
            len(found.doc_ids),
            query_vector_count=query.vector_count,
            document_count=len(found.doc_ids),
            document_vector_count=found.document_vector_count,
            bytes_read=found.bytes_read,
            executor=self.kind,
            notes=(*notes, *found.notes),
        )
        return CandidateStageResult(
            generator, scores, tuple(map(SearchHit, scores.doc_ids, scores.values.tolist())), profile
        )

    def _selected(
        self, doc_ids: DocIdsInput | None, where: MetadataFilterInput, *, texts: bool, metadata: bool
    ) -> tuple[tuple[str, ...] | None, Iterator[LateDocuments]]:
        """Return the order of the ids, where one is given, and batches of exactly the selected documents.

        Where a part of the filter is left to the client and rejects most documents, it looks at metadata first, and
        reads the vectors of the others by id.
        """
        self._check_open()
        ids = None if doc_ids is None else document_ids(doc_ids)
        condition = parse_where(where)
        pushed, rest = (None, None) if condition is None else self.split_filter(condition)
        if ids == ():
            return ids, iter(())
        if rest is None:
            return ids, self._read(StoreSelection(ids, pushed, texts, metadata))
        listed = list(self.read_metadata(StoreSelection(ids, pushed)))
        chosen = tuple(doc_id for doc_id, row in listed if rest.matches(row))
        if not chosen:
            return ids, iter(())
        if 2 * len(chosen) < len(listed):
            kept = frozenset(chosen)
            ids = chosen if ids is None else tuple(doc_id for doc_id in ids if doc_id in kept)
        # Whatever was listed may have changed since.
        return ids, matching(self._read(StoreSelection(ids, pushed, texts, metadata=True)), rest)

    def _read(self, selection: StoreSelection) -> Iterator[LateDocuments]:
        """Yield what `read_batches` yields, for as long as the store is open."""
        for batch in self.read_batches(selection):
            yield batch
            self._check_open()


@attrs.frozen
class _SearchedDocuments:
    """What a search inside the engine is restricted to: the pushed filter or ids, and what the client evaluated."""

    where: Where | None
    doc_ids: tuple[str, ...] | None
    rest: Where | None


def filter_notes(rest: Where | None) -> tuple[str, ...]:
    """Describe, for a profile, the part of a filter that the client evaluated."""
    if rest is None:
        return ()
    return (f"filtered in the client: {rest.to_dict()!r:.200}",)
