"""Structures that a store keeps beside its documents: read, attached to an index, extended, written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import kayak
import numpy as np
import numpy.typing as npt
from kayak.typing import Float32Matrix, Float32Vector, Int64Vector

from kayak_centroids.fit import CentroidFit
from kayak_centroids.pieces import BoolVector, KeyPlaces, merged_pieces
from kayak_centroids.postings import InvertedLists
from kayak_centroids.structure import BuildParameters, CentroidStructure, ListsPart, assign_documents

_FORMAT = 1


def artifact_name(parameters: BuildParameters) -> str:
    """Return the name under which a store keeps the structure of these parameters."""
    return f"centroid_interaction-{parameters.name}"


@attrs.frozen(eq=False)
class StoredLists:
    """Inverted lists of documents that are named by their keys.

    Attributes:
        keys: int64 key of each document, see `kayak.IndexOrigin`.
        lists: the documents of each centroid.
        fit: how well the centroids fit each document.
        part: the stored part, or None for lists that are not stored yet.
    """

    keys: Int64Vector
    lists: InvertedLists
    fit: Float32Vector
    part: kayak.ArtifactPart | None = None

    def as_part(self) -> kayak.ArtifactPart:
        """Return the part to store."""
        if self.part is not None:
            return self.part
        arrays: dict[str, npt.NDArray[Any]] = {
            "keys": self.keys,
            "offsets": self.lists.offsets,
            "documents": self.lists.documents,
            "fit": self.fit,
        }
        return kayak.ArtifactPart({"kind": "lists"}, arrays)


@attrs.frozen(eq=False)
class StoredCentroids:
    """A structure as a store keeps it.

    Attributes:
        centroids: float32 of unit length, shape (centroids, dimension).
        built_by: what computed it.
        threshold: documents that fit worse form the tail.
        mean_cosine: the mean fit when the centroids were made.
        vector_count: token vectors of the corpus at that time.
        lists: the lists, the oldest first.
        part: the stored part of the centroids, or None.
    """

    centroids: Float32Matrix
    built_by: str
    threshold: float
    mean_cosine: float
    vector_count: int
    lists: tuple[StoredLists, ...]
    part: kayak.ArtifactPart | None = None

    @classmethod
    def of_structure(cls, structure: CentroidStructure, index: kayak.LateIndex, keys: Int64Vector) -> StoredCentroids:
        """Return what is to be stored of a structure that was built from an index."""
        return cls(
            structure.centroids,
            structure.built_by,
            structure.fit.threshold,
            structure.fit.mean,
            index.total_vector_count,
            (StoredLists(keys, structure.parts[0].lists, structure.fit.values),),
        )

    @classmethod
    def of_parts(cls, name: str, parts: Sequence[kayak.ArtifactPart]) -> StoredCentroids:
        """Read what `as_parts` gave.

        Raises:
            StoreVersionError: it was written in another format.
        """
        first = parts[0]
        if first.facts.get("format") != _FORMAT:
            raise kayak.StoreVersionError(
                f"artifact {name!r} has format {first.facts.get('format')!r}, but this kayak-centroids reads format "
                f"{_FORMAT}; write it again with kayak_centroids.store_centroids(store, generator, rebuild=True)"
            )
        centroids = first.arrays["centroids"]
        lists = tuple(
            StoredLists(
                part.arrays["keys"],
                InvertedLists(part.arrays["offsets"], part.arrays["documents"], len(part.arrays["keys"])),
                part.arrays["fit"],
                part,
            )
            for part in parts[1:]
        )
        facts = first.facts
        return cls(
            centroids, facts["built_by"], facts["threshold"], facts["mean_cosine"], facts["vector_count"], lists, first
        )

    def as_parts(self) -> tuple[kayak.ArtifactPart, ...]:
        """Return the parts to store; those that are stored already are kept."""
        first = self.part
        if first is None:
            facts = {
                "format": _FORMAT,
                "kind": "centroids",
                "built_by": self.built_by,
                "threshold": self.threshold,
                "mean_cosine": self.mean_cosine,
                "vector_count": self.vector_count,
            }
            first = kayak.ArtifactPart(facts, {"centroids": self.centroids})
        return (first, *(lists.as_part() for lists in self.lists))


@attrs.frozen(eq=False)
class Attached:
    """A stored structure together with the documents of one index.

    Attributes:
        structure: serves searches over that index.
        stored: the same with the lists of the index's documents that were not stored.
        live: for each of its lists, which of their documents are in the index.
        added: how many these were.
        outdated: documents of the lists that are not in the index.
    """

    structure: CentroidStructure
    stored: StoredCentroids
    live: tuple[BoolVector, ...]
    added: int
    outdated: int


def attach(
    stored: StoredCentroids,
    index: kayak.LateIndex,
    keys: Int64Vector,
    executor: kayak.Executor,
    show_progress: bool | None,
) -> Attached:
    """Find the index's documents in stored lists, and assign those that are not there to the stored centroids.

    The cost is that of the documents that are not there, besides looking up keys.
    """
    places = KeyPlaces(keys)
    fit = np.empty(index.document_count, dtype=np.float32)
    covered = np.zeros(index.document_count, dtype=np.bool_)
    parts = []
    live: list[BoolVector] = []
    outdated = 0
    for lists in stored.lists:
        rows = places.rows(lists.keys)
        inside = rows >= 0
        live.append(inside)
        outdated += len(rows) - int(inside.sum())
        covered[rows[inside]] = True
        fit[rows[inside]] = lists.fit[inside]
        whole = len(rows) == index.document_count and bool((rows == np.arange(len(rows))).all())
        parts.append(ListsPart(lists.lists, None if whole else rows))
    missing = np.flatnonzero(~covered)
    bytes_read = stored.centroids.nbytes + sum(lists.lists.byte_size + lists.keys.nbytes for lists in stored.lists)
    notes = [f"the store keeps centroids and lists of {int(covered.sum())} of {index.document_count} documents"]
    if len(missing):
        part = index.take(missing)
        with kayak.progress_bar("lists", part.total_vector_count, show_progress, unit="vector") as advance:
            found, fit[missing] = assign_documents(part, stored.centroids, executor, advance)
        parts.append(ListsPart(found, missing))
        stored = attrs.evolve(stored, lists=(*stored.lists, StoredLists(keys[missing], found, fit[missing])))
        live.append(np.ones(len(missing), dtype=np.bool_))
        bytes_read += part.vector_byte_size
        notes.append(
            f"{len(missing)} documents were assigned to the stored centroids for this index alone; "
            "kayak_centroids.store_centroids(store, generator) keeps that"
        )
    structure = CentroidStructure(
        stored.centroids,
        tuple(parts),
        CentroidFit(fit, stored.threshold),
        stored.built_by,
        bytes_read,
        tuple(notes),
    )
    return Attached(structure, stored, tuple(live), len(missing), outdated)


def merged(attached: Attached) -> StoredCentroids:
    """Merge small lists into their neighbours, without documents that are gone; see `pieces.merged_pieces`."""
    stored = attached.stored

    def joined(some: Sequence[StoredLists], live: Sequence[BoolVector]) -> StoredLists:
        return _concatenated(some, live, len(stored.centroids))

    return attrs.evolve(stored, lists=merged_pieces(stored.lists, attached.live, joined))


def _concatenated(some: Sequence[StoredLists], live: Sequence[BoolVector], centroid_count: int) -> StoredLists:
    """Make one of several lists, of those documents that live."""
    keys, fits, documents, codes = [], [], [], []
    count = 0
    for each, there in zip(some, live, strict=True):
        number = np.cumsum(there) - 1 + count
        members, held = each.lists.pairs()
        kept = there[members]
        documents.append(number[members[kept]].astype(np.int32))
        codes.append(held[kept])
        keys.append(each.keys[there])
        fits.append(each.fit[there])
        count += int(there.sum())
    made = InvertedLists.from_pairs(np.concatenate(documents), np.concatenate(codes), centroid_count, count)
    return StoredLists(np.concatenate(keys), made, np.concatenate(fits))
