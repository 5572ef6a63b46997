"""Proves a library right before it is used: `python -m kayak_mojo.verification MANIFEST` exits with 0 if it is."""

from __future__ import annotations

import sys
from pathlib import Path

import kayak
import numpy as np

from kayak_mojo.centroids import MojoCentroidKernels
from kayak_mojo.compiling import NATIVE
from kayak_mojo.executor import MojoExactCpuExecutor
from kayak_mojo.library import Kernels, load_kernels
from kayak_mojo.manifest import ManifestError
from kayak_mojo.selection import Selection

_DIMENSIONS = (1, 7, 64, 96, 128, 200, 256, 384, 768)
_DOCUMENT_LENGTHS = (1, 2, 3, 5, 8, 13, 40, 100)
_QUERY_LENGTHS = (1, 5, 32, 70)
_CENTROIDS = 75
_TOLERANCE = 1e-5


def verify_kernels(kernels: Kernels) -> None:
    """Compare scores of random vectors with float64 arithmetic.

    Raises:
        ManifestError: a score is wrong.
    """
    executor = MojoExactCpuExecutor()
    executor.selection = Selection(kernels, "on trial")
    generator = np.random.default_rng(0)
    for dim in _DIMENSIONS:
        queries = [generator.standard_normal((length, dim), dtype=np.float32) for length in _QUERY_LENGTHS]
        offsets = np.cumsum([0, *_DOCUMENT_LENGTHS])
        plain = generator.standard_normal((int(offsets[-1]), dim), dtype=np.float32)
        index = kayak.packed_index([str(length) for length in _DOCUMENT_LENGTHS], offsets, plain)
        for vector_dtype in ("float32", "float16", "int8"):
            block = index.to_vector_dtype(vector_dtype).slices[0].block
            found = executor.maxsim(np.concatenate(queries), np.cumsum([0, *_QUERY_LENGTHS]), block, None)
            documents = block.float32_rows(slice(None)).astype(np.float64)
            for scores, query in zip(found, queries, strict=True):
                exact = np.maximum.reduceat(documents @ query.T, offsets[:-1]).sum(axis=1)
                magnitude = np.maximum.reduceat(np.abs(documents) @ np.abs(query.T), offsets[:-1]).sum(axis=1)
                if not (np.abs(scores - exact) <= _TOLERANCE * magnitude).all():
                    raise ManifestError(f"{kernels.path} gives wrong scores for {vector_dtype} of dimension {dim}")
    _verify_centroids(kernels, generator)


def _verify_centroids(kernels: Kernels, generator: np.random.Generator) -> None:
    for dim in _DIMENSIONS:
        centroids, plain = (generator.standard_normal((count, dim), dtype=np.float32) for count in (_CENTROIDS, 100))
        arithmetic = MojoCentroidKernels(kernels, centroids)
        for vectors in (plain, plain.astype(np.float16)):
            exact = vectors.astype(np.float64) @ centroids.T
            tolerance = _TOLERANCE * (np.abs(vectors.astype(np.float64)) @ np.abs(centroids.T)).max(axis=1)
            codes, similarities = arithmetic.assign(vectors)
            chosen = exact[np.arange(len(vectors)), codes]
            right = np.abs(similarities - chosen) <= tolerance
            if not (right & (chosen >= exact.max(axis=1) - 2 * tolerance)).all():
                raise ManifestError(f"{kernels.path} assigns {vectors.dtype} of dimension {dim} to wrong centroids")
        _, similarities = arithmetic.probe(plain, 10)
        best = -np.sort(-(plain.astype(np.float64) @ centroids.T), axis=1)[:, :10]
        tolerance = _TOLERANCE * (np.abs(plain.astype(np.float64)) @ np.abs(centroids.T)).max(axis=1)
        if not (np.abs(similarities - best) <= 2 * tolerance[:, np.newaxis]).all():
            raise ManifestError(f"{kernels.path} probes wrong centroids at dimension {dim}")
        _verify_lists(kernels, arithmetic)


def _verify_lists(kernels: Kernels, arithmetic: MojoCentroidKernels) -> None:
    probed = np.arange(10, dtype=np.int32).reshape(2, 5)
    offsets = np.arange(0, 3 * _CENTROIDS + 1, 3)
    postings = np.tile(np.array([0, 1, 2], dtype=np.int32), _CENTROIDS)
    scores = arithmetic.accumulate(
        probed, np.ones(probed.shape, dtype=np.float32), np.array([0, 2]), offsets, postings, 4
    )
    if scores.tolist() != [[2.0, 2.0, 2.0, 0.0]]:
        raise ManifestError(f"{kernels.path} adds posting lists up wrongly")


if __name__ == "__main__":
    try:
        verify_kernels(load_kernels(Path(sys.argv[1]), NATIVE))
    except ManifestError as error:
        sys.exit(str(error))
