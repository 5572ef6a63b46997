"""`IndexCodes`: the residual codes of an index's documents, and how they are made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Vector, Int64Vector

from kayak_centroids.numpy_kernels import centroid_kernels, kernels_name
from kayak_centroids.residuals import ResidualCodes, ResidualQuantiser
from kayak_centroids.tokens import sample_tokens, stream_tokens

_SAMPLE = 1 << 15
"""Token vectors that levels are spaced by."""


@attrs.frozen(eq=False)
class CodedDocuments:
    """Codes of some documents.

    Attributes:
        offsets: int64, documents + 1; document i owns vectors `offsets[i]` to `offsets[i + 1]`.
        codes: of all their vectors.
        fit: float32, one a document: the mean cosine of its vectors with what their codes stand for.
    """

    offsets: Int64Vector
    codes: ResidualCodes
    fit: Float32Vector

    @property
    def byte_size(self) -> int:
        """Bytes of the codes and of what finds a document's."""
        return self.offsets.nbytes + self.codes.byte_size + self.fit.nbytes


@attrs.frozen(eq=False, slots=False)
class IndexCodes:
    """Codes of all documents of an index.

    Attributes:
        quantiser: what the codes mean.
        parts: the codes; documents are numbered within a part.
        part_of: int64 number of the part of each document of the index.
        place_of: int64 number of the document within its part.
        built_by: what computed the codes: a backend, or "numpy".
        bytes_read: bytes that were read to have them.
        origin_notes: where they come from, if not from this index alone.
    """

    quantiser: ResidualQuantiser
    parts: tuple[CodedDocuments, ...]
    part_of: Int64Vector
    place_of: Int64Vector
    built_by: str
    bytes_read: int
    origin_notes: tuple[str, ...] = ()

    @cached_property
    def vector_counts(self) -> Int64Vector:
        """Token vectors of each document, int64."""
        counts = np.empty(len(self.part_of), dtype=np.int64)
        for number, part in enumerate(self.parts):
            members = np.flatnonzero(self.part_of == number)
            counts[members] = np.diff(part.offsets)[self.place_of[members]]
        return counts

    @cached_property
    def fit(self) -> Float32Vector:
        """The mean cosine of each document's vectors with what their codes stand for, float32."""
        fit = np.empty(len(self.part_of), dtype=np.float32)
        for number, part in enumerate(self.parts):
            members = np.flatnonzero(self.part_of == number)
            fit[members] = part.fit[self.place_of[members]]
        return fit

    @property
    def byte_size(self) -> int:
        """Bytes of codes, centroids and levels."""
        return self.quantiser.byte_size + sum(part.byte_size for part in self.parts)

    @cached_property
    def description(self) -> str:
        """One line for profiles."""
        return (
            f"{self.quantiser.bits}-bit residual codes of {int(self.vector_counts.sum())} vectors of "
            f"{len(self.part_of)} documents over {len(self.quantiser.centroids)} centroids, "
            f"{self.quantiser.bytes_a_vector} bytes a vector, mean cosine {mean_fit(self.fit):.4f}, "
            f"built by {self.built_by}"
        )

    def samples(self, numbers: Int64Vector) -> list[tuple[float, ...]]:
        """Return a few values of each document's codes: equal ones have equal samples, others hardly ever."""
        values = np.empty((len(numbers), 5), dtype=np.float64)
        for number, part in enumerate(self.parts):
            members = np.flatnonzero(self.part_of[numbers] == number)
            places = self.place_of[numbers[members]]
            first, last = part.offsets[places], part.offsets[places + 1] - 1
            heads, tails = part.codes.take(first), part.codes.take(last)
            columns = (last - first, heads.centroids, heads.scales, tails.centroids, tails.scales)
            values[members] = np.stack(columns, axis=1)
        return list(map(tuple, values.tolist()))

    def document(self, number: int) -> ResidualCodes:
        """Return the codes of one document of the index."""
        part, place = self.parts[int(self.part_of[number])], int(self.place_of[number])
        return part.codes.take(np.arange(part.offsets[place], part.offsets[place + 1]))


def mean_fit(fit: Float32Vector) -> float:
    """Return the mean over documents."""
    return float(fit.mean(dtype=np.float64))


def build_codes(
    index: kayak.LateIndex,
    bits: int,
    centroids: kayak.Prepared,
    seed: int,
    executor: kayak.Executor,
    show_progress: bool | None,
) -> IndexCodes:
    """Space levels by a sample of an index's token vectors, then code all of them, streaming.

    Args:
        index: the documents.
        bits: bits of a component.
        centroids: what `CentroidInteraction.prepare` returned for the index.
        seed: draws the sample.
        executor: assigns vectors to centroids, where it has kernels for that.
        show_progress: see `kayak.progress_bar`.

    Raises:
        StoreCorruptError: stored vectors do not match their checksum.
        MissingDependencyError: a progress bar is asked for and tqdm is not installed.
    """
    structure, kernels = centroids.value.structure, centroids.value.kernels
    sample = sample_tokens(index, min(_SAMPLE, index.total_vector_count), np.random.default_rng(seed))
    quantiser = ResidualQuantiser.trained(bits, structure.centroids, kernels, sample)
    with kayak.progress_bar("residual codes", index.total_vector_count, show_progress, unit="vector") as advance:
        documents = code_documents(index, quantiser, kernels, advance)
    read = index.vector_byte_size + (structure.bytes_read if centroids.built_now else 0)
    everything = np.arange(index.document_count, dtype=np.int64)
    return IndexCodes(quantiser, (documents,), np.zeros_like(everything), everything, kernels_name(executor), read)


def add_codes(
    index: kayak.LateIndex, quantiser: ResidualQuantiser, executor: kayak.Executor, show_progress: bool | None
) -> CodedDocuments:
    """Code an index's documents by a quantiser that is there already; raises what `build_codes` raises."""
    kernels = centroid_kernels(executor, np.ascontiguousarray(quantiser.centroids))
    with kayak.progress_bar("residual codes", index.total_vector_count, show_progress, unit="vector") as advance:
        return code_documents(index, quantiser, kernels, advance)


def code_documents(
    index: kayak.LateIndex,
    quantiser: ResidualQuantiser,
    kernels: kayak.CentroidKernels,
    advance: Callable[[int], object],
) -> CodedDocuments:
    """Return the codes of an index's documents, in index order; memory is bounded besides the codes."""
    offsets = np.zeros(index.document_count + 1, dtype=np.int64)
    np.cumsum(index.counts, out=offsets[1:])
    total = int(offsets[-1])
    width = quantiser.bytes_a_vector - quantiser.number_type.itemsize - 4
    codes = ResidualCodes(
        np.empty(total, dtype=quantiser.number_type),
        np.empty((total, width), dtype=np.uint8),
        np.empty(total, dtype=np.float32),
    )
    fit = np.empty(index.document_count, dtype=np.float32)
    for chunk in stream_tokens(index):
        found, cosines = quantiser.encode(chunk.vectors, kernels)
        ends = np.cumsum(chunk.counts)
        rows = np.arange(int(ends[-1])) + np.repeat(offsets[chunk.documents] - (ends - chunk.counts), chunk.counts)
        codes.centroids[rows], codes.packed[rows], codes.scales[rows] = found.centroids, found.packed, found.scales
        fit[chunk.documents] = np.add.reduceat(cosines, ends - chunk.counts, dtype=np.float64) / chunk.counts
        advance(len(chunk.vectors))
    return CodedDocuments(offsets, codes, fit)
