"""`CentroidPostings`: candidates by the centroid postings that a database keeps."""

from __future__ import annotations

from typing import ClassVar, Literal
from weakref import WeakKeyDictionary

import attrs
import kayak
import numpy as np
from kayak.typing import DocIdsInput, MetadataFilterInput

from kayak_centroids.codebooks import CentroidCodebook
from kayak_centroids.generator import IMPUTED_RANK, whole
from kayak_centroids.numpy_kernels import NumpyCentroidKernels

_ATTEMPTS = 3
_LEAST_WEIGHT = np.float32(1e-6)

_prepared: WeakKeyDictionary[kayak.KeepsPostings, _Prepared] = WeakKeyDictionary()


@attrs.frozen(eq=False)
class _Prepared:
    """A store's codebook with arithmetic over it."""

    centroids: CentroidCodebook
    kernels: kayak.CentroidKernels


@attrs.frozen(kw_only=True)
class CentroidPostings(kayak.CandidateGenerator):
    """Lets a database choose the candidates by centroid postings, which `store_centroids` has written.

    Each query vector probes its `n_probe` most similar centroids. The database scores the documents that hold a probed
    centroid: `StoreCapabilities.postings` says whether by the greatest weight for each query vector, summed ("max": the
    ranking of `CentroidInteraction` over an index), by the sum of all weights ("sum"), or by its text score of them
    ("bm25"). A weight is how much more similar the centroid is than the one whose similarity would be imputed: that of
    rank 2 · `n_probe` for "max"; for sums, where many small weights would outdo a great one, the first not probed.
    Filters and `doc_ids` are applied inside. The codebook is read once a store object, and again when it was replaced.

    Attributes:
        n_probe: centroids that each query vector probes.

    Raises:
        InvalidTypeError: `n_probe` is no integer.
        InvalidInputError: `n_probe` is below 1.
    """

    kind: ClassVar[str] = "centroid_postings"
    family: ClassVar[str] = "centroids"
    score_kind: ClassVar[str] = "centroid_score"
    corpus: ClassVar[Literal["index", "store"]] = "store"

    n_probe: int = attrs.field(default=8, validator=whole(1))

    def generate(
        self, query: kayak.LateQuery, index: kayak.LateIndex, *, k: int, executor: kayak.Executor
    ) -> kayak.CandidateStageResult:
        """Not possible over an index."""
        raise kayak.UnsupportedOperationError(
            "the centroid_postings generator searches inside a database, but the corpus is a LateIndex; pass the store "
            "to search_with_plan, or use kayak_centroids.centroid_search_plan over the index"
        )

    def generate_in_store(
        self,
        query: kayak.LateQuery,
        store: kayak.LateStore,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> kayak.CandidateStageResult:
        """Search the store's postings; see `CandidateGenerator.generate_in_store`.

        Raises:
            UnsupportedOperationError: the store keeps no postings, or has none yet.
            InvalidInputError: the query has another dimension than the store.
            StoreBusyError: the codebook was replaced again and again.
            StoreError: the store cannot be read.
        """
        if not isinstance(store, kayak.KeepsPostings):
            raise kayak.UnsupportedOperationError(
                f"store {type(store).__name__} keeps no postings; use one that does (pgvector, qdrant, lancedb), or "
                "kayak_centroids.centroid_search_plan, which loads the documents"
            )
        for _ in range(_ATTEMPTS):
            prepared = _prepared.get(store) or _read(store)
            if prepared.centroids.codebook.vectors.shape[1] != query.vector_dim:
                _prepared.pop(store, None)
                raise kayak.InvalidInputError(
                    f"the query has dimension {query.vector_dim}, but the store's centroids have dimension "
                    f"{prepared.centroids.codebook.vectors.shape[1]}; encode both with the same encoder"
                )
            asked = self._asked(prepared, query, store.capabilities().postings)
            try:
                found = store.search_postings(query, asked, k=k, where=where, doc_ids=doc_ids)
            except kayak.CodebookMismatchError:
                _prepared.pop(store, None)
                continue
            profile = attrs.evolve(
                found.profile,
                stage_name=self.kind,
                preparation=f"{len(prepared.centroids.codebook.vectors)} centroids, built by "
                f"{prepared.centroids.built_by}, read from the store once",
            )
            return attrs.evolve(found, generator=self, profile=profile)
        raise kayak.StoreBusyError(
            f"the codebook of store {store.capabilities().kind!r} was replaced {_ATTEMPTS} times during one search; "
            "search again when whoever does that is done"
        )

    def _asked(self, prepared: _Prepared, query: kayak.LateQuery, scored_by: str) -> kayak.PostingsQuery:
        """Return the probed centroids with their weights."""
        codebook = prepared.centroids.codebook
        imputed_rank = IMPUTED_RANK * self.n_probe if scored_by == "max" else self.n_probe + 1
        probed, similarities = prepared.kernels.probe(
            query.as_vector_matrix(), min(imputed_rank, len(codebook.vectors))
        )
        # Equal similarities are no reason to leave a document out.
        weights = np.maximum(similarities - similarities[:, -1:], _LEAST_WEIGHT)[:, : self.n_probe]
        numbers = np.repeat(np.arange(len(weights), dtype=np.int32), weights.shape[1])
        return kayak.PostingsQuery(codebook.identity, numbers, probed[:, : self.n_probe].ravel(), weights.ravel())


def _read(store: kayak.KeepsPostings) -> _Prepared:
    codebook = store.read_codebook()
    if codebook is None:
        raise kayak.UnsupportedOperationError(
            f"store {type(store).__name__} has no centroids yet; make them with kayak_centroids.store_centroids(store, "
            "kayak_centroids.centroid_interaction_candidate_generator())"
        )
    prepared = _Prepared(CentroidCodebook.of(codebook), NumpyCentroidKernels(codebook.vectors))
    _prepared[store] = prepared
    return prepared
