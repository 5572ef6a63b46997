"""`CentroidReport`: what was built for an index, for people to read."""

from __future__ import annotations

import attrs
import kayak

from kayak_centroids.structure import CentroidStructure


@attrs.frozen
class CentroidReport:
    """What centroids of an index are like.

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
