"""The executor `mojo_exact_cpu`: exact MaxSim in compiled kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import ClassVar

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix, Int64Vector

from kayak_mojo.centroids import MojoCentroidKernels
from kayak_mojo.checks import check_offsets, check_positions, check_queries, readable_int64, readable_rows
from kayak_mojo.library import KernelFunction, Kernels
from kayak_mojo.packing import aligned_floats, pack_panels, running_counts, split_documents
from kayak_mojo.selection import Selection, select_kernels
from kayak_mojo.threads import Piece, share, thread_limit

SHARED_WORK = 32_000_000
"""Multiplications from which on a call is shared: some 0.4 ms of work, where waking a thread takes up to 0.1 ms."""

PIECE_WORK = 4_000_000
"""Multiplications in the smallest piece: so much smaller that a thread which wakes late still finds some to do."""

_PIECES_A_THREAD = 8  # the last piece of a call keeps one thread busy alone, so pieces should be small


class MojoExactCpuExecutor:
    """Exact MaxSim in compiled Mojo kernels, for the processor at hand.

    The library is chosen and loaded when the executor is first used. No Mojo installation is needed or looked for.
    """

    name: ClassVar[str] = kayak.MOJO_EXACT_CPU_BACKEND

    @functools.cached_property
    def selection(self) -> Selection:
        """The library that this executor runs, or why it has none."""
        return select_kernels()

    def backend_info(self) -> kayak.BackendInfo:
        """Describe the executor: which library runs, at which level, with how many threads, or what is missing."""
        try:
            return _described(self.selection, thread_limit())
        except kayak.InvalidInputError as error:
            return kayak.BackendInfo(self.name, available=False, requires_mojo=True, availability_reason=str(error))

    def maxsim(
        self,
        query_vectors: Float32Matrix,
        query_offsets: Int64Vector,
        block: kayak.IndexBlock,
        positions: Int64Vector | None,
    ) -> Float32Matrix:
        """Score documents of one block for every query of a batch; see `kayak.Executor.maxsim`.

        Raises:
            BackendUnavailableError: there is no library that can run here.
            InvalidInputError: arrays that do not fit together, or an invalid KAYAK_NUM_THREADS where threads matter.
        """
        kernels = self._kernels()
        vectors, scales = readable_rows(block.vectors), block.scales
        offsets, query_offsets = readable_int64(block.offsets), readable_int64(query_offsets)
        check_queries(query_vectors, query_offsets, vectors)
        check_offsets(block, offsets)
        positions_at = None
        if positions is not None:
            positions = readable_int64(positions)
            check_positions(positions, block.document_count)
            positions_at = positions.ctypes.data
        counts = running_counts(offsets, positions)
        queries, documents, dim = len(query_offsets) - 1, len(counts) - 1, vectors.shape[1]
        scores = np.empty((queries, documents), dtype=np.float32)
        if not documents:
            return scores
        function = kernels.maxsim[vectors.dtype]
        panels, panels_at, spare_at = pack_panels(query_vectors, kernels.panel_width)
        arguments: tuple[int, ...] = (panels_at, len(panels), query_offsets.ctypes.data, queries, vectors.ctypes.data)
        if scales is not None:
            arguments = (*arguments, vectors.strides[0], scales.ctypes.data, scales.strides[0])
        before, after = (*arguments, offsets.ctypes.data, positions_at), (scores.ctypes.data, documents)
        work = int(counts[-1] - counts[0]) * panels.size
        if work < SHARED_WORK or (limit := thread_limit()) == 1:
            function(*before, 0, documents, dim, spare_at, *after)
        else:
            memory = (panels, query_offsets, vectors, scales, offsets, positions, scores)
            call = _SharedCall(function, before, dim, len(panels) * kernels.panel_width, after, memory)
            share(call, split_documents(counts, min(work // PIECE_WORK, limit * _PIECES_A_THREAD)), limit)
        return scores

    def centroid_kernels(self, centroids: Float32Matrix) -> MojoCentroidKernels:
        """Return arithmetic over these centroids; see `kayak.CentroidExecutor`.

        Raises:
            BackendUnavailableError: there is no library that can run here.
            InvalidInputError: no centroids, or not float32 of two axes.
        """
        return MojoCentroidKernels(self._kernels(), centroids)

    def _kernels(self) -> Kernels:
        kernels = self.selection.kernels
        if kernels is None:
            raise kayak.BackendUnavailableError(f"backend {self.name!r} cannot run here: {self.selection.reason}")
        return kernels


@attrs.frozen(eq=False)
class _SharedCall:
    """What each thread of one call runs.

    Attributes:
        function: the kernel.
        before: its arguments before the piece.
        dim: dimension of the vectors.
        columns: how many maxima a thread keeps.
        after: the arguments after them.
        memory: the arrays behind the addresses, held until the last thread has let go of this object.
    """

    function: KernelFunction
    before: tuple[int | None, ...]
    dim: int
    columns: int
    after: tuple[int, int]
    memory: tuple[object, ...]

    def __call__(self, pieces: Iterable[Piece]) -> None:
        maxima, maxima_at = aligned_floats(self.columns)
        for first, stop in pieces:
            self.function(*self.before, first, stop, self.dim, maxima_at, *self.after)
        del maxima  # not earlier: the kernel writes to it


@functools.lru_cache(maxsize=16)
def _described(selection: Selection, threads: int) -> kayak.BackendInfo:
    kernels = selection.kernels
    facts = []
    if kernels is not None:
        facts = [str(kernels.path), f"level {kernels.level}", kernels.compiler]
        facts.append(f"{threads} thread{'s' if threads > 1 else ''}")
    return kayak.BackendInfo(
        MojoExactCpuExecutor.name,
        available=kernels is not None,
        requires_mojo=True,
        availability_reason=f"kernels of kayak-mojo, {selection.reason}" if kernels else selection.reason,
        detail="; ".join([*facts, *selection.notes]),
        vector_dtypes=("float32", "float16", "int8"),
    )
