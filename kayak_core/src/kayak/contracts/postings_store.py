"""`PostingsDatabaseStore`: a store over a database that keeps term postings, too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

import kayak  # the lazy public namespace: names the native generator without standing above it
from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.database_store import DatabaseLateStore, FoundCandidates, StoreSelection, filter_notes
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


class PostingsEngine(ABC):
    """What a database does for the postings of one store; see `KeepsPostings` for what each method promises."""

    @abstractmethod
    def load_codebook(self) -> Codebook | None:
        """Return the store's codebook, or None."""

    @abstractmethod
    def save_codebook(self, codebook: Codebook) -> None:
        """Make this the store's codebook. It has the dimension of the stored vectors."""

    @abstractmethod
    def unposted(self, codebook: str) -> Iterator[UnpostedDocuments]:
        """Yield the documents without terms of the store's codebook, in batches of bounded size.

        Raises:
            CodebookMismatchError: `codebook` is not the store's; `kayak.codebook_mismatch` makes the error.
        """

    @abstractmethod
    def save(self, codebook: str, postings: DocumentPostings) -> int:
        """Write terms of at least one document, where it is as it was; return of how many.

        Raises:
            CodebookMismatchError: `codebook` is not the store's.
        """

    @abstractmethod
    def refresh(self) -> None:
        """Bring indexes and statistics up to date."""

    @abstractmethod
    def stats(self) -> PostingsStats:
        """Count documents with and without terms."""

    @abstractmethod
    def search(self, search: PostingsSearch) -> FoundPostings:
        """Search inside the database.

        Fewer than `k` candidates are returned only where fewer selected documents hold one of the terms.
        """


class PostingsDatabaseStore(DatabaseLateStore):
    """A `DatabaseLateStore` that fulfils `kayak.KeepsPostings`.

    A subclass sets `postings` beside what a `DatabaseLateStore` implements, declares the score in
    `StoreCapabilities.postings`, and takes a document's terms away whenever it writes or deletes the document. The
    filter is divided, and documents without terms are put into the window, here.

    Attributes:
        postings: does the database's part.
    """

    postings: PostingsEngine

    def read_codebook(self) -> Codebook | None:
        """Return the store's codebook, or None; see `KeepsPostings.read_codebook`."""
        self._check_open()
        return self.postings.load_codebook()

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
        self.postings.save_codebook(codebook)

    def unposted_documents(self, codebook: str | None) -> Iterator[UnpostedDocuments]:
        """Yield the documents without terms; see `KeepsPostings.unposted_documents`."""
        self._check_open()
        if codebook is not None:
            batches = self.postings.unposted(codebook)
        else:
            everything = self.read_batches(StoreSelection(texts=False, metadata=False))
            batches = (UnpostedDocuments(batch, ("",) * batch.document_count) for batch in everything)
        for each in batches:
            yield each
            self._check_open()

    def write_postings(self, codebook: str, postings: DocumentPostings) -> int:
        """Write terms of documents; see `KeepsPostings.write_postings`."""
        self._check_open()
        return self.postings.save(codebook, postings) if postings.doc_ids else 0

    def index_postings(self) -> None:
        """Bring up to date what makes searches fast; see `KeepsPostings.index_postings`."""
        self._check_open()
        self.postings.refresh()

    def postings_stats(self) -> PostingsStats:
        """Count documents with and without terms; see `KeepsPostings.postings_stats`."""
        self._check_open()
        return self.postings.stats()

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
        found = self.postings.search(PostingsSearch(postings, size, most_unposted + 1, chosen.where, chosen.doc_ids))
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
