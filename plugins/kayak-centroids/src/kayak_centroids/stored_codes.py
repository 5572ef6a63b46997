"""Residual codes that a store keeps beside its documents: read, attached to an index, extended, written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import kayak
import numpy as np
import numpy.typing as npt
from kayak.typing import Int64Vector

from kayak_centroids.codes import CodedDocuments, IndexCodes, add_codes, mean_fit
from kayak_centroids.pieces import BoolVector, KeyPlaces, merged_pieces
from kayak_centroids.residuals import ResidualCodes, ResidualQuantiser
from kayak_centroids.structure import BuildParameters

_FORMAT = 1


def codes_name(bits: int, parameters: BuildParameters) -> str:
    """Return the name under which a store keeps the codes of these parameters."""
    return f"residual_codes-{bits}-{parameters.name}"


@attrs.frozen(eq=False)
class StoredPiece:
    """Codes of documents that are named by their keys.

    Attributes:
        keys: int64 key of each document, see `kayak.IndexOrigin`.
        documents: their codes.
        part: the stored part, or None for codes that are not stored yet.
    """

    keys: Int64Vector
    documents: CodedDocuments
    part: kayak.ArtifactPart | None = None

    @classmethod
    def of_part(cls, part: kayak.ArtifactPart) -> StoredPiece:
        """Read what `as_part` gave."""
        arrays = part.arrays
        codes = ResidualCodes(arrays["centroids"], arrays["residuals"], arrays["scales"])
        return cls(arrays["keys"], CodedDocuments(arrays["offsets"], codes, arrays["fit"]), part)

    def as_part(self) -> kayak.ArtifactPart:
        """Return the part to store."""
        if self.part is not None:
            return self.part
        arrays: dict[str, npt.NDArray[Any]] = {
            "keys": self.keys,
            "offsets": self.documents.offsets,
            "centroids": self.documents.codes.centroids,
            "residuals": self.documents.codes.packed,
            "scales": self.documents.codes.scales,
            "fit": self.documents.fit,
        }
        return kayak.ArtifactPart({"kind": "codes"}, arrays)


@attrs.frozen(eq=False)
class StoredCodes:
    """Codes as a store keeps them, with the centroids and levels that they refer to.

    Attributes:
        quantiser: what the codes mean.
        built_by: what computed them.
        mean_cosine: the mean fit when levels were spaced.
        pieces: the codes, the oldest first.
        part: the stored part of centroids and levels, or None.
    """

    quantiser: ResidualQuantiser
    built_by: str
    mean_cosine: float
    pieces: tuple[StoredPiece, ...]
    part: kayak.ArtifactPart | None = None

    @classmethod
    def of_codes(cls, codes: IndexCodes, keys: Int64Vector) -> StoredCodes:
        """Return what is to be stored of codes that were made for an index."""
        return cls(codes.quantiser, codes.built_by, mean_fit(codes.fit), (StoredPiece(keys, codes.parts[0]),))

    @classmethod
    def of_parts(cls, name: str, parts: Sequence[kayak.ArtifactPart]) -> StoredCodes:
        """Read what `as_parts` gave.

        Raises:
            StoreVersionError: it was written in another format.
        """
        first = parts[0]
        facts, arrays = first.facts, first.arrays
        if facts.get("format") != _FORMAT:
            raise kayak.StoreVersionError(
                f"artifact {name!r} has format {facts.get('format')!r}, but this kayak-centroids reads format "
                f"{_FORMAT}; write it again with kayak_centroids.store_codes(store, operator, rebuild=True)"
            )
        quantiser = ResidualQuantiser(facts["bits"], arrays["centroids"], arrays["lowest"], arrays["steps"])
        pieces = tuple(map(StoredPiece.of_part, parts[1:]))
        return cls(quantiser, facts["built_by"], facts["mean_cosine"], pieces, first)

    def as_parts(self) -> tuple[kayak.ArtifactPart, ...]:
        """Return the parts to store; those that are stored already are kept."""
        first = self.part
        if first is None:
            facts = {
                "format": _FORMAT,
                "kind": "levels",
                "bits": self.quantiser.bits,
                "built_by": self.built_by,
                "mean_cosine": self.mean_cosine,
            }
            arrays = {
                "centroids": self.quantiser.centroids,
                "lowest": self.quantiser.lowest,
                "steps": self.quantiser.steps,
            }
            first = kayak.ArtifactPart(facts, arrays)
        return (first, *(piece.as_part() for piece in self.pieces))


@attrs.frozen(eq=False)
class AttachedCodes:
    """Stored codes together with the documents of one index.

    Attributes:
        codes: serve searches over that index.
        stored: the same with the codes of the index's documents that were not stored.
        live: for each of its pieces, which of their documents are in the index.
        added: how many were not stored.
        outdated: documents with stored codes that are not in the index.
    """

    codes: IndexCodes
    stored: StoredCodes
    live: tuple[BoolVector, ...]
    added: int
    outdated: int


def attach_codes(
    stored: StoredCodes,
    index: kayak.LateIndex,
    keys: Int64Vector,
    executor: kayak.Executor,
    show_progress: bool | None,
) -> AttachedCodes:
    """Find the index's documents in stored codes, and code those that are not there over the stored centroids.

    The cost is that of the documents that are not there, besides looking up keys.
    """
    places = KeyPlaces(keys)
    part_of = np.full(index.document_count, -1, dtype=np.int64)
    place_of = np.zeros(index.document_count, dtype=np.int64)
    live: list[BoolVector] = []
    outdated = 0
    for number, piece in enumerate(stored.pieces):
        rows = places.rows(piece.keys)
        live.append(rows >= 0)
        inside = np.flatnonzero(live[-1])
        outdated += len(rows) - len(inside)
        part_of[rows[inside]] = number
        place_of[rows[inside]] = inside
    missing = np.flatnonzero(part_of < 0)
    bits = stored.quantiser.bits
    notes = [f"the store keeps {bits}-bit codes of {len(keys) - len(missing)} of {len(keys)} documents"]
    # Mapped: what a search reads of the codes, its own profile counts.
    read = stored.quantiser.byte_size + sum(piece.keys.nbytes for piece in stored.pieces)
    if len(missing):
        some = index.take(missing)
        added = add_codes(some, stored.quantiser, executor, show_progress)
        part_of[missing] = len(stored.pieces)
        place_of[missing] = np.arange(len(missing))
        stored = attrs.evolve(stored, pieces=(*stored.pieces, StoredPiece(keys[missing], added)))
        live.append(np.ones(len(missing), dtype=np.bool_))
        read += some.vector_byte_size
        notes.append(
            f"{len(missing)} documents were coded over the stored centroids for this index alone; "
            "kayak_centroids.store_codes(store, operator) keeps that"
        )
    parts = tuple(piece.documents for piece in stored.pieces)
    codes = IndexCodes(stored.quantiser, parts, part_of, place_of, stored.built_by, read, tuple(notes))
    return AttachedCodes(codes, stored, tuple(live), len(missing), outdated)


def merged_codes(attached: AttachedCodes) -> StoredCodes:
    """Merge small pieces into their neighbours, without documents that are gone; see `pieces.merged_pieces`."""
    return attrs.evolve(attached.stored, pieces=merged_pieces(attached.stored.pieces, attached.live, _joined))


def _joined(pieces: Sequence[StoredPiece], kept: Sequence[BoolVector]) -> StoredPiece:
    counts = [np.diff(piece.documents.offsets) for piece in pieces]
    rows = [np.flatnonzero(np.repeat(live, count)) for live, count in zip(kept, counts, strict=True)]
    codes = [piece.documents.codes.take(chosen) for piece, chosen in zip(pieces, rows, strict=True)]
    lengths = np.concatenate([count[live] for live, count in zip(kept, counts, strict=True)])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    documents = CodedDocuments(
        offsets,
        ResidualCodes(
            np.concatenate([each.centroids for each in codes]),
            np.concatenate([each.packed for each in codes]),
            np.concatenate([each.scales for each in codes]),
        ),
        np.concatenate([piece.documents.fit[live] for live, piece in zip(kept, pieces, strict=True)]),
    )
    return StoredPiece(np.concatenate([piece.keys[live] for live, piece in zip(kept, pieces, strict=True)]), documents)
