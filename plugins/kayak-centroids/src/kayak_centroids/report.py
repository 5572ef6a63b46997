"""`CentroidReport`: what was built for an index, for people to read."""

from __future__ import annotations

import attrs
import kayak

from kayak_centroids.structure import CentroidStructure

_GROWTH = 4
"""A corpus that has grown this much is served better by twice the centroids."""

_ERROR_GROWTH = 1.25
"""Centroids whose mean cosine leaves this much more of the way to 1 than at first no longer stand for the corpus."""


@attrs.frozen
class CentroidReport:
    """What centroids of an index, or of a database, are like.

    For a database, postings, bytes, mean cosine and tail are those of the documents that the call has assigned.

    Attributes:
        centroid_count: centroids.
        posting_count: entries of the inverted lists, one for each document and distinct centroid of it.
        document_count: documents.
        byte_size: bytes of centroids and lists.
        built_by: what computed them: a backend, or "numpy".
        build_seconds: how long building took.
        built_now: whether this call built them.
        mean_cosine: mean cosine between token vectors and their centroids, over documents.
        tail_threshold: documents with a lower mean cosine fit badly, and searches may miss them.
        tail_doc_ids: these documents, worst first.
        rebuild_reason: why the stored centroids should be made anew, or None; see `store_centroids`.
        unassigned_count: documents of a database without postings, because they were written meanwhile.
    """

    centroid_count: int
    posting_count: int
    document_count: int
    byte_size: int
    built_by: str
    build_seconds: float
    built_now: bool
    mean_cosine: float
    tail_threshold: float
    tail_doc_ids: tuple[str, ...]
    rebuild_reason: str | None = None
    unassigned_count: int = 0

    @classmethod
    def of(cls, prepared: kayak.Prepared, index: kayak.LateIndex) -> CentroidReport:
        """Describe what `CentroidInteraction.prepare` returned."""
        return cls.of_structure(
            prepared.value.structure, index, seconds=prepared.elapsed_seconds, built_now=prepared.built_now
        )

    @classmethod
    def of_structure(
        cls, structure: CentroidStructure, index: kayak.LateIndex, *, seconds: float, built_now: bool
    ) -> CentroidReport:
        """Describe a structure that serves an index."""
        return cls(
            len(structure.centroids),
            structure.posting_count,
            index.document_count,
            structure.byte_size,
            structure.built_by,
            seconds,
            built_now,
            structure.fit.mean,
            structure.fit.threshold,
            tuple(index.doc_ids[number] for number in structure.fit.tail.tolist()),
        )


def rebuild_reason(
    centroid_count: int, vector_counts: tuple[int, int], mean_cosines: tuple[float, float]
) -> str | None:
    """Return why new centroids would serve better, or None.

    Args:
        centroid_count: how many there are.
        vector_counts: token vectors of the corpus when the centroids were made, and now.
        mean_cosines: mean cosine between vectors and centroids then, and now.
    """
    (vectors_then, vectors_now), (cosine_then, cosine_now) = vector_counts, mean_cosines
    if vectors_now >= _GROWTH * vectors_then:
        return (
            f"the corpus has grown from {vectors_then} to {vectors_now} vectors since its {centroid_count} centroids "
            "were made"
        )
    if 1.0 - cosine_now > _ERROR_GROWTH * (1.0 - cosine_then):
        return (
            f"the mean cosine between vectors and centroids has fallen from {cosine_then:.3f} to {cosine_now:.3f} "
            "since they were made"
        )
    return None
