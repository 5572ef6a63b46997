"""`PostingsDatabaseStore`: a store over a database that keeps term postings, too."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

import kayak  # the lazy public namespace: names the native generator without standing above it
from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.database_store import DatabaseLateStore, FoundCandidates, filter_notes
from kayak.contracts.postings import (
    Codebook,
    DocumentPostings,
    FoundPostings,
    PostingsQuery,
    PostingsSearch,
    PostingsStats,
    UnpostedDocuments,
)
from kayak.contracts.store_checks import codebook_mismatch
from kayak.errors import InvalidInputError
from kayak.typing import DocIdsInput, MetadataFilterInput
from kayak.values import LateQuery
from kayak.values.coerce import non_negative_int


class PostingsDatabaseStore(DatabaseLateStore):
    """A `DatabaseLateStore` that fulfils `kayak.KeepsPostings`.

    A subclass implements the methods below beside those of `DatabaseLateStore`, declares the score in
    `StoreCapabilities.postings`, and takes a document's terms away whenever it writes or deletes the document. The
    filter is divided, and documents without terms are put into the window, here.
    """

    @abstractmethod
    def load_codebook(self) -> Codebook | None:
        """Return the store's codebook, or None; see `KeepsPostings.read_codebook`."""

    @abstractmethod
    def save_codebook(self, codebook: Codebook) -> None:
        """Make this the store's codebook; see `KeepsPostings.write_codebook`. Its dimension is the store's."""

    @abstractmethod
    def read_unposted(self, codebook: str | None) -> Iterator[UnpostedDocuments]:
        """Yield the documents without terms of this codebook; see `KeepsPostings.unposted_documents`."""

    @abstractmethod
    def save_postings(self, codebook: str, postings: DocumentPostings) -> int:
        """Write terms; see `KeepsPostings.write_postings`. There is at least one document."""

    @abstractmethod
    def refresh_postings(self) -> None:
        """Bring indexes and statistics up to date; see `KeepsPostings.index_postings`."""

    @abstractmethod
    def count_postings(self) -> PostingsStats:
        """Count documents with and without terms; see `KeepsPostings.postings_stats`."""

    @abstractmethod
    def find_postings(self, search: PostingsSearch) -> FoundPostings:
        """Search inside the engine.

        Fewer than `k` candidates are returned only where fewer selected documents hold one of the terms.
        """

    def read_codebook(self) -> Codebook | None:
        """Return the store's codebook, or None; see `KeepsPostings.read_codebook`."""
        self._check_open()
        return self.load_codebook()

    def write_codebook(self, codebook: Codebook) -> None:
        """Make this the store's codebook; see `KeepsPostings.write_codebook`."""
        self._check_open()
        dim = self.vector_dim()
        if dim != codebook.vectors.shape[1]:
            held = "no documents yet" if dim is None else f"vectors of dimension {dim}"
            raise InvalidInputError(
                f"the codebook has dimension {codebook.vectors.shape[1]}, but store {self.kind!r} holds {held}; make "
                "the codebook from the stored vectors"
            )
        self.save_codebook(codebook)

    def unposted_documents(self, codebook: str | None) -> Iterator[UnpostedDocuments]:
        """Yield the documents without terms; see `KeepsPostings.unposted_documents`."""
        self._check_open()
        for batch in self.read_unposted(codebook):
            yield batch
            self._check_open()

    def write_postings(self, codebook: str, postings: DocumentPostings) -> int:
        """Write terms of documents; see `KeepsPostings.write_postings`."""
        self._check_open()
        return self.save_postings(codebook, postings) if postings.doc_ids else 0

    def index_postings(self) -> None:
        """Bring up to date what makes searches fast; see `KeepsPostings.index_postings`."""
        self._check_open()
        self.refresh_postings()

    def postings_stats(self) -> PostingsStats:
        """Count documents with and without terms; see `KeepsPostings.postings_stats`."""
        self._check_open()
        return self.count_postings()

    def search_postings(
        self,
        query: LateQuery,
        postings: PostingsQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best documents by their terms; see `KeepsPostings.search_postings`."""
        size = non_negative_int(k, "k", minimum=1)
        generator = kayak.store_native_candidate_generator()
        chosen = self._searched(query, where, doc_ids)
        if chosen is None or not len(postings.terms):
            return CandidateStageResult.empty(generator, self.kind)
        most_unposted = size // 2
        found = self.find_postings(PostingsSearch(postings, size, most_unposted + 1, chosen.where, chosen.doc_ids))
        if found.codebook != postings.codebook:
            raise codebook_mismatch(self.kind, found.codebook, postings.codebook)
        candidates = found.candidates
        if len(found.unposted_ids) > most_unposted:
            note = (
                f"more than {most_unposted} selected documents have no postings and are not candidates; "
                "write them with kayak_centroids.store_centroids(store, generator)"
            )
            candidates = attrs.evolve(candidates, notes=(*candidates.notes, note))
        elif found.unposted_ids:
            candidates = _joined(candidates, found.unposted_ids, size)
        return self._stage_result(generator, query, candidates, filter_notes(chosen.rest))


def _joined(found: FoundCandidates, unposted: Sequence[str], size: int) -> FoundCandidates:
    """Put documents of unknown score into the last places of the window."""
    known = frozenset(found.doc_ids)
    unposted = [doc_id for doc_id in unposted if doc_id not in known]  # written between two looks at the database
    kept = size - len(unposted)
    note = f"{len(unposted)} selected documents have no postings and are candidates without a score"
    return attrs.evolve(
        found,
        doc_ids=(*found.doc_ids[:kept], *unposted),
        scores=np.append(np.asarray(found.scores, dtype=np.float32)[:kept], np.zeros(len(unposted), np.float32)),
        notes=(*found.notes, note),
    )
