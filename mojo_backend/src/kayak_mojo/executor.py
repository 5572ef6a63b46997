"""The executor `mojo_exact_cpu`: exact MaxSim in compiled kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import ClassVar

import kayak
import numpy as np
from kayak.typing import Float32Matrix, Int64Vector

from kayak_mojo.packing import aligned_empty, document_ends, pack_panels, require_fitting, split_documents
from kayak_mojo.selection import Selection, select_kernels
from kayak_mojo.threads import Piece, share, thread_limit

PIECE_WORK = 8_000_000
"""Multiplications worth handing to another thread: about 0.1 ms, where waking one takes some 0.03 ms."""

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
            InvalidInputError: arrays that do not fit together, or an invalid KAYAK_NUM_THREADS.
        """
        kernels = self.selection.kernels
        if kernels is None:
            raise kayak.BackendUnavailableError(f"backend {self.name!r} cannot run here: {self.selection.reason}")
        limit = thread_limit()
        vectors = np.require(block.vectors, requirements=("C",))
        offsets, query_offsets = _int64(block.offsets), _int64(query_offsets)
        numbers = None if positions is None else _int64(positions)
        require_fitting(query_vectors, query_offsets, vectors)
        ends = document_ends(offsets, numbers, len(vectors))
        queries, documents = len(query_offsets) - 1, len(ends)
        scores = np.empty((queries, documents), dtype=np.float32)
        if not documents:
            return scores
        function = kernels.maxsim[vectors.dtype]
        panels = pack_panels(query_vectors, kernels.panel_width)
        numbers_at = None if numbers is None else numbers.ctypes.data
        before = (
            *(panels.ctypes.data, len(panels), query_offsets.ctypes.data, queries),
            *(vectors.ctypes.data, offsets.ctypes.data, numbers_at),
        )
        dim, scores_at = vectors.shape[1], scores.ctypes.data

        def score(pieces: Iterator[Piece]) -> None:
            maxima = aligned_empty(len(panels) * kernels.panel_width)
            after = (dim, maxima.ctypes.data, scores_at, documents)
            for first, stop in pieces:
                function(*before, first, stop, *after)

        worth = int(ends[-1]) * panels.size // PIECE_WORK
        if limit == 1 or worth < 2:
            score(iter([(0, documents)]))
        else:
            share(score, split_documents(ends, min(worth, limit * _PIECES_A_THREAD)), limit)
        return scores


def _int64(array: Int64Vector) -> Int64Vector:
    aligned: Int64Vector = np.require(array, np.int64, ("C", "A"))
    return aligned


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
    )
