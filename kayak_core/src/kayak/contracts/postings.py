"""Term postings: integers by which a store finds documents, and the optional contract of stores that keep them.

A codebook says what the terms are, one vector a term; a document's terms belong to exactly the vectors that it has now.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy as np

from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.database_store import FoundCandidates
from kayak.contracts.where import Where
from kayak.errors import InvalidInputError, StoreCorruptError
from kayak.typing import DocIdsInput, Float32Matrix, Float32Vector, Int32Vector, Int64Vector, MetadataFilterInput
from kayak.values import LateDocuments, LateQuery
from kayak.values.coerce import float32_matrix

_MAGIC = b"KAYAKCB1"
_HEADER = struct.Struct("<8sIII")  # magic, bytes of the facts, terms, dimension


def _codebook_vectors(value: Any) -> Float32Matrix:
    return float32_matrix(value, "the codebook's vectors")


@attrs.frozen(eq=False, slots=False)
class Codebook:
    """What the terms of a store stand for.

    Attributes:
        vectors: float32, shape (terms, dimension): term t stands for row t.
        facts: JSON values that describe it, for example how it was made.

    Raises:
        InvalidInputError: vectors that are no finite matrix, or facts that are no JSON.
    """

    vectors: Float32Matrix = attrs.field(converter=_codebook_vectors)
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    @cached_property
    def data(self) -> bytes:
        """The codebook as bytes, which `from_bytes` reads: equal codebooks have equal bytes."""
        try:
            facts = json.dumps(dict(self.facts), sort_keys=True, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"the codebook's facts must be JSON values: {error}") from error
        return _HEADER.pack(_MAGIC, len(facts), *self.vectors.shape) + facts + self.vectors.astype("<f4").tobytes()

    @cached_property
    def identity(self) -> str:
        """The SHA-256 of `data`, in hexadecimal: names the codebook, and tells whether stored bytes are whole."""
        return hashlib.sha256(self.data).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes, identity: str, *, place: str) -> Codebook:
        """Read what `data` gave.

        Args:
            data: the stored bytes.
            identity: the identity that was stored beside them.
            place: names the store in errors.

        Raises:
            StoreCorruptError: the bytes are not those of the codebook with that identity.
        """
        damaged = hashlib.sha256(data).hexdigest() != identity or not data.startswith(_MAGIC)
        if damaged or len(data) < _HEADER.size:
            raise StoreCorruptError(
                f"the codebook of {place} is damaged: its {len(data)} bytes do not match their SHA-256 {identity:.80}. "
                "Make it anew, for example with kayak_centroids.store_centroids(store, generator, rebuild=True)"
            )
        _, size, terms, dim = _HEADER.unpack_from(data)
        facts = json.loads(data[_HEADER.size : _HEADER.size + size])
        vectors = np.frombuffer(data, "<f4", terms * dim, _HEADER.size + size).astype(np.float32, copy=False)
        return cls(vectors.reshape(terms, dim), facts)


@attrs.frozen(eq=False)
class UnpostedDocuments:
    """Documents that have no terms of the store's codebook.

    Attributes:
        documents: ids and vectors; no texts, no metadata.
        revisions: one a document: changes whenever the document is written.
    """

    documents: LateDocuments
    revisions: tuple[str, ...]


@attrs.frozen(eq=False)
class DocumentPostings:
    """Terms of some documents.

    Attributes:
        doc_ids: distinct ids.
        revisions: what `UnpostedDocuments` said of the vectors that the terms were made from.
        offsets: int64, documents + 1; document d has the terms `offsets[d]` to `offsets[d + 1]`, at least one.
        terms: int32, ascending and distinct within a document.
    """

    doc_ids: tuple[str, ...]
    revisions: tuple[str, ...]
    offsets: Int64Vector
    terms: Int32Vector

    def of(self, number: int) -> Int32Vector:
        """Return the terms of one document."""
        return self.terms[self.offsets[number] : self.offsets[number + 1]]


@attrs.frozen(eq=False)
class PostingsQuery:
    """Which terms a query looks for, and what each is worth.

    Attributes:
        codebook: identity of the codebook that the terms are of.
        vector_numbers: int32, one an entry: which of the query's vectors asks for the term.
        terms: int32, no term twice for one vector.
        weights: float32, positive and finite.
    """

    codebook: str
    vector_numbers: Int32Vector
    terms: Int32Vector
    weights: Float32Vector

    def summed(self) -> tuple[Int32Vector, Float32Vector]:
        """Return the distinct terms, ascending, and the sum of each one's weights: for engines without a maximum."""
        terms, place = np.unique(self.terms, return_inverse=True)
        totals = np.bincount(place, weights=self.weights, minlength=len(terms))
        return terms.astype(np.int32), totals.astype(np.float32)


@attrs.frozen(eq=False)
class PostingsSearch:
    """What `PostingsEngine.search` is asked for.

    Attributes:
        query: terms and weights, at least one.
        k: candidates wanted, ≥ 1.
        unposted_k: how many ids of selected documents without terms are wanted at most.
        where: the part of the filter that the store said it evaluates itself.
        doc_ids: distinct ids to choose from, at least one; None for all documents.
    """

    query: PostingsQuery
    k: int
    unposted_k: int
    where: Where | None = None
    doc_ids: tuple[str, ...] | None = None


@attrs.frozen(eq=False)
class FoundPostings:
    """What a database found.

    Attributes:
        codebook: identity of the codebook that the store had meanwhile; None where it had none.
        candidates: documents that hold one of the terms, best first. Ignored where the codebook is another one.
        unposted_ids: selected documents without terms, at most `unposted_k`.
    """

    codebook: str | None
    candidates: FoundCandidates
    unposted_ids: tuple[str, ...]


@attrs.frozen
class PostingsStats:
    """What a store keeps of postings.

    Attributes:
        codebook: identity of its codebook; None where it has none.
        posted_document_count: documents with terms of that codebook.
        unposted_document_count: documents without.
    """

    codebook: str | None
    posted_document_count: int
    unposted_document_count: int


@runtime_checkable
class KeepsPostings(Protocol):
    """A store that keeps postings; optional, asked for with `isinstance`. `kayak.PostingsDatabaseStore` helps.

    A store has one codebook. `StoreCapabilities.postings` says which score a search computes. Writing a document, and
    deleting it, takes its terms away in the same step, so no search finds a document by vectors that it had before.
    """

    def read_codebook(self) -> Codebook | None:
        """Return the store's codebook, or None.

        Raises:
            StoreCorruptError: stored bytes do not match their checksum.
        """

    def write_codebook(self, codebook: Codebook) -> None:
        """Make this the store's codebook. Terms of another one are not used from now on.

        Writing the codebook that the store has changes nothing, and repairs damaged bytes.

        Raises:
            InvalidInputError: its dimension is not that of the stored vectors.
            StoreError: the store cannot be written, or cannot keep postings.
        """

    def unposted_documents(self, codebook: str | None) -> Iterator[UnpostedDocuments]:
        """Yield the documents that have no terms of this codebook, in batches of bounded size.

        With None, all documents, whose revisions are then empty and good for nothing.

        Raises:
            CodebookMismatchError: the store has another codebook.
        """

    def write_postings(self, codebook: str, postings: DocumentPostings) -> int:
        """Write terms of documents; those that were deleted or written since their revision are left out.

        Returns:
            How many documents have got terms.

        Raises:
            CodebookMismatchError: the store has another codebook.
            StoreError: the store cannot be written.
        """

    def index_postings(self) -> None:
        """Bring up to date what makes searches fast; called after many postings were written."""

    def postings_stats(self) -> PostingsStats:
        """Count documents with and without terms."""

    def search_postings(
        self,
        query: LateQuery,
        postings: PostingsQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best of the selected documents that hold one of the terms, chosen inside the store.

        Selected documents without terms are candidates too, with score 0 and in the last places of the window, unless
        they would fill more than half of it; then the profile's notes say that they are left out.

        Args:
            query: what `postings` was made from.
            postings: terms and weights.
            k: size of the window, ≥ 1.
            where: restricts the selection to documents whose metadata match.
            doc_ids: restricts it to these ids.

        Raises:
            CodebookMismatchError: the store has another codebook than `postings` is of, or none.
            InvalidInputError: `k` < 1, or the query has another dimension than the store.
        """
