"""Executors that each break one promise; see `test_conformance_teeth.py`."""

from __future__ import annotations

import itertools
import os
import threading

import kayak
import numpy as np
import pytest
from hypothesis import Phase, settings
from kayak.builtin.numpy_executor import NumpyReferenceExecutor
from kayak.testing import ExecutorConformance
from kayak.values.blocks import offsets_from_counts

settings.register_profile("teeth", phases=[Phase.generate], derandomize=True, database=None)
settings.load_profile("teeth")

WRONG: list[type] = []
CALLS = itertools.count()
PROCESS = os.getpid()
UP = np.float32(np.inf)


def breaks(*tests):
    """Make a test class for a wrong executor, which must fail these tests."""

    def make(cls):
        body = {"breaks": tests, "executor": pytest.fixture(lambda self: cls()), "__module__": __name__}
        test_class = type(f"Test{cls.__name__}", (ExecutorConformance,), body)
        globals()[test_class.__name__] = test_class
        WRONG.append(test_class)
        return cls

    return make


class Right(NumpyReferenceExecutor):
    """The reference; subclasses change one thing."""


def mapped(block, change):
    return kayak.IndexBlock(block.offsets, change(np.asarray(block.vectors)))


@breaks("test_describes_itself")
class OtherName(Right):
    name = "other"

    def backend_info(self):
        return kayak.BackendInfo("another", available=True, availability_reason="here")


@breaks("test_result_is_float32_queries_by_documents")
class DoublePrecision(Right):
    def maxsim(self, *args):
        return super().maxsim(*args).astype(np.float64)


@breaks("test_random_ragged_shapes")
class RoundsQueries(Right):
    def maxsim(self, vectors, offsets, block, positions):
        rounded = vectors.astype(np.float16).astype(np.float32)
        return super().maxsim(rounded, offsets, block, positions)


@breaks("test_float16_documents")
class Float16Scores(Right):
    def maxsim(self, vectors, offsets, block, positions):
        found = super().maxsim(vectors, offsets, block, positions)
        return found if block.vectors.dtype == np.float32 else found.astype(np.float16).astype(np.float32)


@breaks("test_int8_documents")
class TakesCodesForValues(Right):
    def maxsim(self, vectors, offsets, block, positions):
        values = mapped(block, lambda array: array.astype(np.float32))
        return super().maxsim(vectors, offsets, values, positions)


@breaks("test_positions")
class SortsPositions(Right):
    def maxsim(self, vectors, offsets, block, positions):
        return super().maxsim(vectors, offsets, block, None if positions is None else np.sort(positions))


@breaks("test_long_documents")
class Reads2048Vectors(Right):
    def maxsim(self, vectors, offsets, block, positions):
        matrices = [block.document(n)[:2048] for n in range(block.document_count)]
        cut = kayak.IndexBlock(offsets_from_counts(np.array([len(m) for m in matrices])), np.concatenate(matrices))
        return super().maxsim(vectors, offsets, cut, positions)


@breaks("test_equal_documents_score_equally")
class PlaceMatters(Right):
    def maxsim(self, *args):
        found = super().maxsim(*args)
        found[:, 1::2] = np.nextafter(found[:, 1::2], UP)
        found[:, 4::8] = np.nextafter(found[:, 4::8], UP)
        return found


@breaks("test_negative_similarities")
class PadsWithZeros(Right):
    def maxsim(self, *args):
        return np.maximum(super().maxsim(*args), 0)


@breaks("test_repeated_query_vectors_count_each_time")
class DropsRepeatedVectors(Right):
    def maxsim(self, vectors, offsets, block, positions):
        seen = set()
        kept = vectors.copy()
        for row in range(offsets[0], offsets[1]):
            key = vectors[row].tobytes()
            kept[row] = 0.0 if key in seen else vectors[row]
            seen.add(key)
        return super().maxsim(kept, offsets, block, positions)


@breaks("test_magnitudes")
class FlushesSubnormals(Right):
    def maxsim(self, vectors, offsets, block, positions):
        flushed = mapped(block, lambda array: np.where(np.abs(array) < 1.2e-38, np.float32(0), array))
        return super().maxsim(vectors, offsets, flushed, positions)


@breaks("test_overflow_shows")
class ClampsOverflow(Right):
    def maxsim(self, *args):
        return np.nan_to_num(super().maxsim(*args))


@breaks("test_batch_equals_single_queries")
class BatchesRoundOtherwise(Right):
    def maxsim(self, vectors, offsets, block, positions):
        found = super().maxsim(vectors, offsets, block, positions)
        return np.nextafter(found, UP) if len(offsets) > 2 else found


@breaks("test_blocks_equal_one_block")
class PositionsRoundOtherwise(Right):
    def maxsim(self, vectors, offsets, block, positions):
        found = super().maxsim(vectors, offsets, block, positions)
        return found if positions is None else np.nextafter(found, UP)


@breaks("test_runs_are_identical")
class DriftsByOneBit(Right):
    def maxsim(self, *args):
        found = super().maxsim(*args)
        return np.nextafter(found, UP) if next(CALLS) % 2 else found


@breaks("test_threads")
class OneThreadOnly(Right):
    def maxsim(self, *args):
        found = super().maxsim(*args)
        return found if threading.current_thread() is threading.main_thread() else found * 0


@breaks("test_fork")
class OneProcessOnly(Right):
    def maxsim(self, *args):
        return super().maxsim(*args) * (os.getpid() == PROCESS)


@breaks("test_leaves_its_input_alone")
class NormalisesInPlace(Right):
    def maxsim(self, vectors, offsets, block, positions):
        offsets += 1
        try:
            return super().maxsim(vectors, offsets - 1, block, positions)
        finally:
            offsets -= 0


@breaks("test_memory_maps")
class WantsAlignedMemory(Right):
    def maxsim(self, vectors, offsets, block, positions):
        if not block.vectors.flags.aligned:
            raise ValueError("unaligned vectors")
        return super().maxsim(vectors, offsets, block, positions)
