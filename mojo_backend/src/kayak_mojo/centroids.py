"""Arithmetic over centroids in compiled kernels; see `kayak.CentroidKernels`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from itertools import pairwise

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector, Int32Matrix, Int32Vector, Int64Vector, VectorMatrix

from kayak_mojo.checks import readable_int64
from kayak_mojo.library import Kernels
from kayak_mojo.packing import aligned_floats, pack_panels
from kayak_mojo.threads import Piece, share, thread_limit

SHARED_WORK = 32_000_000
"""Multiplications from which on a call is shared: some 0.4 ms of work, where waking a thread takes up to 0.1 ms."""

SHARED_POSTINGS = 500_000
"""Postings from which on adding them up is shared."""

_PIECES_A_THREAD = 8
_PIECE_ROWS = 960  # whole tiles of the kernel
_PROBE_ROWS = 12  # the kernel's largest block of query vectors, at any CPU level

_REMEMBERED_LISTS = 256

_ELEMENT_TYPES = (np.dtype(np.float32), np.dtype(np.float16))


class MojoCentroidKernels:
    """Compares vectors with one set of centroids, and adds up posting lists.

    Args:
        kernels: the loaded library.
        centroids: float32, shape (centroids, dimension).

    Raises:
        InvalidInputError: no centroids, or not float32 of two axes.
    """

    def __init__(self, kernels: Kernels, centroids: Float32Matrix) -> None:
        if centroids.ndim != 2 or not len(centroids) or centroids.dtype != np.float32:
            raise kayak.InvalidInputError(
                f"centroids must be float32 of shape (centroids ≥ 1, dimension), got {centroids.dtype} of shape "
                f"{centroids.shape}"
            )
        self._kernels = kernels
        self._count, self._dim = centroids.shape
        missing = -self._count % kernels.panel_width
        # Copies of centroid 0 fill the last panel: the kernels let the lower number win a tie.
        filled = np.concatenate([centroids, np.broadcast_to(centroids[0], (missing, self._dim))])
        self._panels, self._panels_at, _ = pack_panels(filled, kernels.panel_width)
        self._checked: dict[int, _CheckedLists] = {}

    def assign(self, vectors: VectorMatrix) -> tuple[Int32Vector, Float32Vector]:
        """Return the most similar centroid of each vector; see `kayak.CentroidKernels.assign`.

        Raises:
            InvalidInputError: vectors of another element type or dimension, or an invalid KAYAK_NUM_THREADS.
        """
        vectors = self._checked_vectors(vectors, _ELEMENT_TYPES)
        codes = np.empty(len(vectors), dtype=np.int32)
        similarities = np.empty(len(vectors), dtype=np.float32)
        before = (self._panels_at, len(self._panels), vectors.ctypes.data)
        after = (self._dim, codes.ctypes.data, similarities.ctypes.data)
        memory = (self._panels, vectors, codes, similarities)
        call = _RowsCall(self._kernels.assign[vectors.dtype], before, after, memory)
        _run(call, len(vectors), len(vectors) * self._panels.size, _PIECE_ROWS)
        return codes, similarities

    def probe(self, query_vectors: Float32Matrix, count: int) -> tuple[Int32Matrix, Float32Matrix]:
        """Return the most similar centroids of each query vector; see `kayak.CentroidKernels.probe`.

        Raises:
            InvalidInputError: vectors of another element type or dimension, a count out of range, or an invalid
                KAYAK_NUM_THREADS.
        """
        vectors = self._checked_vectors(query_vectors, _ELEMENT_TYPES[:1])
        if not 1 <= count <= self._count:
            raise kayak.InvalidInputError(f"count must be from 1 to the {self._count} centroids, got {count}")
        probed = np.empty((len(vectors), count), dtype=np.int32)
        similarities = np.empty((len(vectors), count), dtype=np.float32)
        before = (self._panels_at, len(self._panels), self._count, vectors.ctypes.data)
        after = (probed.ctypes.data, similarities.ctypes.data)
        memory = (self._panels, vectors, probed, similarities)
        columns = len(self._panels) * self._kernels.panel_width
        call = _ProbeCall(self._kernels.probe, before, (self._dim, count), after, columns, memory)
        _run(call, len(vectors), len(vectors) * self._panels.size, _PROBE_ROWS)
        return probed, similarities

    def accumulate(
        self,
        probed: Int32Matrix,
        gains: Float32Matrix,
        query_offsets: Int64Vector,
        list_offsets: Int64Vector,
        postings: Int32Vector,
        document_count: int,
    ) -> Float32Matrix:
        """Add up the gains of the probed lists; see `kayak.CentroidKernels.accumulate`.

        Raises:
            InvalidInputError: arrays that do not fit together, or an invalid KAYAK_NUM_THREADS.
        """
        probed, gains = np.ascontiguousarray(probed), np.ascontiguousarray(gains)
        list_offsets = readable_int64(list_offsets)
        self._check_lists(probed, gains, list_offsets, postings, document_count)
        bounds = query_offsets.tolist()
        if not bounds or bounds[0] < 0 or bounds[-1] > len(probed) or any(a > b for a, b in pairwise(bounds)):
            raise kayak.InvalidInputError(
                f"query_offsets must ascend within the {len(probed)} query vectors, got {bounds}"
            )
        scores = np.zeros((len(bounds) - 1, document_count), dtype=np.float32)
        before = (probed.ctypes.data, gains.ctypes.data, probed.shape[1])
        lists = (list_offsets.ctypes.data, postings.ctypes.data)
        memory = (probed, gains, list_offsets, postings, scores)
        call = _ListsCall(self._kernels.add_lists, before, lists, document_count, bounds, scores, memory)
        limit = thread_limit()
        work = int((list_offsets[1:] - list_offsets[:-1])[probed].sum()) if limit > 1 else 0
        if work < SHARED_POSTINGS:
            call.queries([(0, len(scores))])
        elif len(scores) > 1:
            share(call.queries, [(query, query + 1) for query in range(len(scores))], limit)
        else:
            share(_DocumentsCall(call, np.zeros(document_count, dtype=np.int32)), _halves(document_count, limit), limit)
        return scores

    def _checked_vectors(self, vectors: VectorMatrix, types: tuple[np.dtype[np.generic], ...]) -> VectorMatrix:
        if vectors.ndim != 2 or vectors.shape[1] != self._dim or vectors.dtype not in types:
            raise kayak.InvalidInputError(
                f"expected {' or '.join(map(str, types))} vectors of dimension {self._dim} in native byte order, got "
                f"{vectors.dtype.str!r} of shape {vectors.shape}"
            )
        return np.ascontiguousarray(vectors)

    def _check_lists(
        self,
        probed: Int32Matrix,
        gains: Float32Matrix,
        list_offsets: Int64Vector,
        postings: Int32Vector,
        document_count: int,
    ) -> None:
        if probed.dtype != np.int32 or gains.dtype != np.float32 or probed.ndim != 2 or probed.shape != gains.shape:
            raise kayak.InvalidInputError(
                f"probed must be int32 and gains float32 of one shape (query vectors, probes), got {probed.dtype} of "
                f"shape {probed.shape} and {gains.dtype} of shape {gains.shape}"
            )
        if probed.size and int(probed.view(np.uint32).max()) >= len(list_offsets) - 1:  # a negative one becomes huge
            raise kayak.InvalidInputError(f"probed must number centroids from 0 to {len(list_offsets) - 2}")
        known = self._checked.get(id(postings))
        if known is not None and known.are(list_offsets, postings, document_count):
            return  # lists are large and never change: each is looked at once
        if postings.dtype != np.int32 or not postings.flags.c_contiguous or not postings.flags.aligned:
            raise kayak.InvalidInputError(f"postings must be contiguous int32, got {postings.dtype}")
        if len(list_offsets) != self._count + 1 or list_offsets[0] < 0 or list_offsets[-1] > len(postings):
            raise kayak.InvalidInputError(
                f"list_offsets must have one entry a centroid and one more ({self._count + 1}), within the "
                f"{len(postings)} postings"
            )
        if (list_offsets[1:] < list_offsets[:-1]).any():
            raise kayak.InvalidInputError("list_offsets must ascend")
        if len(postings) and int(postings.view(np.uint32).max()) >= document_count:
            raise kayak.InvalidInputError(f"postings must number documents from 0 to {document_count - 1}")
        if len(self._checked) >= _REMEMBERED_LISTS:
            self._checked.clear()
        self._checked[id(postings)] = _CheckedLists(weakref.ref(list_offsets), weakref.ref(postings), document_count)


def _run(call: Callable[[Iterable[Piece]], None], rows: int, work: int, piece_rows: int) -> None:
    limit = thread_limit() if work >= SHARED_WORK else 1
    if limit == 1:
        call([(0, rows)])
        return
    step = max(piece_rows, -(-rows // (limit * _PIECES_A_THREAD * piece_rows)) * piece_rows)
    share(call, [(first, min(first + step, rows)) for first in range(0, rows, step)], limit)


def _halves(document_count: int, limit: int) -> list[Piece]:
    cuts = np.linspace(0, document_count, 2 * limit + 1).astype(int).tolist()
    return [(first, stop) for first, stop in pairwise(cuts) if first < stop]


@attrs.frozen(eq=False)
class _CheckedLists:
    """Lists that were looked at: these very arrays, with this number of documents."""

    list_offsets: weakref.ref[Int64Vector]
    postings: weakref.ref[Int32Vector]
    document_count: int

    def are(self, list_offsets: Int64Vector, postings: Int32Vector, document_count: int) -> bool:
        """Whether these are the same."""
        same = self.list_offsets() is list_offsets and self.postings() is postings
        return same and self.document_count == document_count


@attrs.frozen(eq=False)
class _RowsCall:
    """A kernel whose arguments are some, the rows, and some more; `memory` holds the arrays behind the addresses."""

    function: Callable[..., None]
    before: tuple[int, ...]
    after: tuple[int, ...]
    memory: tuple[object, ...]

    def __call__(self, pieces: Iterable[Piece]) -> None:
        for first, stop in pieces:
            self.function(*self.before, first, stop, *self.after)


@attrs.frozen(eq=False)
class _ProbeCall:
    """The probing kernel, which needs scratch memory in each thread."""

    function: Callable[..., None]
    before: tuple[int, ...]
    sizes: tuple[int, int]
    after: tuple[int, int]
    columns: int
    memory: tuple[object, ...]

    def __call__(self, pieces: Iterable[Piece]) -> None:
        similarities, similarities_at = aligned_floats(_PROBE_ROWS * self.columns)
        positions = np.empty(self.sizes[1], dtype=np.int64)
        scratch = (similarities_at, positions.ctypes.data)
        for first, stop in pieces:
            self.function(*self.before, first, stop, *self.sizes, *scratch, *self.after)
        del similarities  # not earlier: the kernel writes to it


@attrs.frozen(eq=False)
class _ListsCall:
    """The kernel that adds up posting lists."""

    function: Callable[..., None]
    before: tuple[int, ...]
    lists: tuple[int, int]
    document_count: int
    bounds: list[int]
    scores: Float32Matrix
    memory: tuple[object, ...]

    def queries(self, pieces: Iterable[Piece]) -> None:
        """Score whole queries, all documents."""
        marks = np.zeros(self.document_count, dtype=np.int32)
        for first, stop in pieces:
            for query in range(first, stop):
                self.part(query, 0, self.document_count, marks)

    def part(self, query: int, first: int, stop: int, marks: Int32Vector) -> None:
        """Score documents first .. stop - 1 for one query."""
        self.function(
            *self.before,
            self.bounds[query],
            self.bounds[query + 1],
            *self.lists,
            first,
            stop,
            self.document_count,
            marks.ctypes.data,
            self.scores[query].ctypes.data,
        )


@attrs.frozen(eq=False)
class _DocumentsCall:
    """One query, some documents a thread."""

    call: _ListsCall
    marks: Int32Vector

    def __call__(self, pieces: Iterable[Piece]) -> None:
        for first, stop in pieces:
            self.call.part(0, first, stop, self.marks)
